"""A viewer sees every page, but no button and no sensitive value, and actions are refused."""

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from audit.models import Incident, OperatorAction
from consumer.ingest.transaction import ingest
from handlers.models import Delivery, DeliveryAttempt
from tests.sample_data import change, lease_of, make_mapping, received

pytestmark = pytest.mark.anywhere

SECRET = "078-05-1120"
BUTTONS = (
    "Add", "Save", "Delete", "Start", "Stop", "Pause", "Resume", "Redeliver", "Skip and continue",
    "Acknowledge", "Close this incident", "Forget position", "Test connection",
)  # fmt: skip


@pytest.fixture
def scene(listener):
    """A delivery that failed with a sensitive value in its error, and an open incident."""
    listener.sensitive_fields = ["SSN__c"]
    listener.save()
    lease, mapping = lease_of(listener), make_mapping(listener)
    message = change("CREATE", data={"SSN__c": SECRET, "Name": "Jonas"}, entity="Contact")
    ingest(listener, lease, received(message), [mapping])
    now = timezone.now()
    error = f"ValueError: nobody has the number {SECRET}"
    delivery = Delivery.objects.get()
    Delivery.objects.update(state="dead", error=error, attempts=1, halts=True, finished_at=now)
    DeliveryAttempt.objects.create(
        delivery=delivery, number=1, outcome="failed", started_at=now, finished_at=now,
        error=error, traceback=f"Traceback (most recent call last):\n{error}",
    )  # fmt: skip
    incident = Incident.objects.create(
        listener=listener, kind="gap", summary="gap", opened_at=now, last_seen_at=now
    )
    return {
        f"/admin/handlers/delivery/{delivery.pk}/change/": "nobody has the number •••",
        f"/admin/audit/auditlogentry/{delivery.entry_id}/change/": "•••",
        "/admin/handlers/delivery/": "nobody has the number •••",
        f"/admin/audit/incident/{incident.pk}/change/": "Gap events",
        f"/admin/listeners/listener/{listener.pk}/change/": listener.name,
        f"/admin/listeners/connection/{listener.connection_id}/change/": listener.connection.name,
    }


def test_a_viewer_has_no_button_and_sees_no_sensitive_value_and_is_refused(
    visitor, scene, listener
):
    page = visitor.page
    page.goto("/admin/")
    visitor.look("Welcome back")
    visitor.log_in("CDC Viewer")
    for address, text in scene.items():
        page.goto(address)
        body = visitor.look(text)
        assert SECRET not in page.content(), address
        for name in BUTTONS:
            expect(body.get_by_role("button", name=name, exact=True)).to_have_count(0)
            expect(body.get_by_role("link", name=name, exact=True)).to_have_count(0)

    for address in (
        f"/admin/listeners/listener/{listener.pk}/stop/",
        f"/admin/listeners/listener/{listener.pk}/forget-position/",
        "/admin/listeners/listener/add/",
        "/admin/listeners/connection/add/",
        "/admin/auth/user/",
        "/admin/handlers/delivery/redeliver-dead/",
    ):
        with visitor.refused(403):
            page.goto(address)
        expect(page.get_by_role("heading")).to_have_text("Permission denied")
    assert not OperatorAction.objects.exclude(action="add").exists()
