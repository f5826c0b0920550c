"""An incident can be found on Home, read, acknowledged and closed with a note, by keyboard
alone."""

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from audit.models import Incident, OperatorAction

pytestmark = pytest.mark.anywhere

NOTE = "The gap was filled from last night's export."


@pytest.fixture
def incident(listener):
    now = timezone.now()
    return Incident.objects.create(
        listener=listener,
        kind="gap",
        key="Account",
        summary="Salesforce could not send 12 changes of Account.",
        remedy="Compare the records of the window.",
        opened_at=now,
        last_seen_at=now,
    )


def test_by_keyboard_alone_an_operator_finds_an_incident_and_closes_it(visitor, incident):
    visitor.log_in("CDC Operator")
    visitor.look("Needs attention", "1 open incident")

    visitor.tab_to("1 open incident")
    visitor.press("Enter")
    visitor.look("Gap events")
    visitor.tab_to("Gap events")
    visitor.press("Enter")
    visitor.look("could not send 12 changes", "Compare the records of the window.")

    visitor.tab_to("Acknowledge")
    visitor.press("Enter")
    visitor.look("Acknowledged 1 incident.", "open, acknowledged")
    visitor.tab_to("Note")
    visitor.page.keyboard.type(NOTE)
    visitor.tab_to("Close this incident")
    visitor.press("Enter")
    visitor.look("Closed 1 incident.", NOTE)

    visitor.go_to("Home")
    expect(visitor.page.get_by_role("status").last).not_to_contain_text("incident")
    visitor.go_to("Action log")
    visitor.look("Close", "Acknowledge", "operator", NOTE)
    incident.refresh_from_db()
    assert (incident.acknowledged_by, incident.closed_by, incident.note) == (
        "operator",
        "operator",
        NOTE,
    )
    done = OperatorAction.objects.filter(object_type="incident").order_by("id")
    assert [(one.action, one.who) for one in done] == [
        ("acknowledge", "operator"),
        ("close", "operator"),
    ]
