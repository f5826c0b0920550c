"""With the policies `deliver` and `record`, a gap event leads to no read of its record."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import DirtyRecord, Incident
from consumer.gaps.complete import complete
from handlers.models import HandlerMapping
from listeners.models import Listener
from tests.consumer.gapped import composites, deliveries
from tests.consumer.hearing import hear
from tests.sample_data import make_mapping

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]


@pytest.mark.parametrize("policy", ["deliver", "record"])
def test_another_policy_reads_nothing(org, heard, account, policy):
    Listener.objects.update(gap_policy=policy)
    heard.refresh_from_db()
    org.gap("GAP_UPDATE", "Account", account)

    result = hear(org, heard)

    assert not DirtyRecord.objects.exists()
    assert not result.reads_planned
    assert Incident.objects.get().is_open
    states = [(one.state, one.entry.change_type) for one in deliveries()]
    assert states == ([("queued", "GAP_UPDATE")] if policy == "deliver" else [])


def test_a_gap_event_that_is_delivered_counts_as_met_but_for_who_wrote_it(org, heard, account):
    HandlerMapping.objects.all().delete()
    make_mapping(heard, "update", condition={"field": "Phone", "equals": "9"})
    make_mapping(heard, "update", "tests.skip", changed_fields=["Fax"], ignore_origins=["bulk"])
    Listener.objects.update(gap_policy="deliver")
    heard.refresh_from_db()
    origin = "com/salesforce/api/bulkapi/67.0;client=bulk"
    header = {"entityName": "Account", "changeType": "GAP_UPDATE", "recordIds": [account]}
    org.raw({**header, "changeOrigin": origin}, complete=True)

    hear(org, heard)

    states = {one.handler: one.state for one in deliveries()}
    assert states == {"tests.remember": "queued", "tests.skip": "skipped"}


@pytest.mark.parametrize(
    ("policy", "states"),
    [("deliver", ["queued", "blocked"]), ("record", ["skipped", "queued"])],
)
def test_what_waits_is_released_when_the_policy_changes(org, heard, account, policy, states):
    org.gap("GAP_UPDATE", "Account", account)
    org.update("Account", account, Phone="2")
    hear(org, heard)
    DirtyRecord.objects.update(due_at=timezone.now() + timedelta(hours=1))
    Listener.objects.update(gap_policy=policy)

    assert complete(heard.pk) == 1

    assert [one.state for one in deliveries()] == states
    assert not composites(org)
    incident = Incident.objects.get()
    assert incident.is_open
    assert "being read" not in incident.action


def test_reading_does_not_close_what_was_recorded_only(org, heard, account):
    Listener.objects.update(gap_policy="record")
    heard.refresh_from_db()
    org.gap("GAP_UPDATE", "Account", account)
    hear(org, heard)
    Listener.objects.update(gap_policy="fetch")
    heard.refresh_from_db()
    org.gap("GAP_UPDATE", "Account", account)
    hear(org, heard)

    assert complete(heard.pk) == 1

    incident = Incident.objects.get()
    assert incident.is_open
    assert "Read the records" in incident.remedy
