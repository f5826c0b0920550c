"""A listener's page shows its state, its backlog and its problems."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import Incident
from listeners.models import Listener, Position
from tests.console.conftest import NOW
from tests.sample_data import long_lease_of, make_listener

pytestmark = pytest.mark.slow


@pytest.fixture
def page(admin_client, listener):
    def html() -> str:
        return admin_client.get(f"/admin/listeners/listener/{listener.pk}/change/").content.decode()

    return html


@pytest.fixture
def listing(admin_client):
    def html() -> str:
        return admin_client.get("/admin/listeners/listener/").content.decode()

    return html


def test_one_that_was_never_started_says_so(page, listing):
    assert "Never started" in page()
    assert "Never started" in listing()


def test_one_that_receives_says_where_it_stands(page, listener):
    long_lease_of(listener, "worker-1:4711")
    Position.objects.update(state="receiving", replay_id="52478913", state_since=timezone.now())
    html = page()
    assert "Receiving" in html
    assert "worker-1:4711" in html
    assert "52478913" in html


def test_one_that_failed_says_why(page, listener):
    long_lease_of(listener)
    Position.objects.update(state="failed", reason="invalid_client: <b>no such app</b>")
    html = page()
    assert "Failed" in html
    assert "invalid_client: &lt;b&gt;no such app&lt;/b&gt;" in html


def test_one_whose_process_vanished_is_not_called_receiving(page, listing, listener):
    long_lease_of(listener)
    ago = timezone.now() - timedelta(minutes=1)
    Position.objects.update(state="receiving", lease_until=ago)
    assert "The listener process stopped while receiving" in page()
    assert "Not running" in listing()


def test_one_that_has_heard_nothing_for_too_long_is_not_called_receiving(page, listing, listener):
    long_lease_of(listener)
    ago = timezone.now() - timedelta(hours=1)
    Position.objects.update(state="receiving", state_since=ago, last_received_at=ago)
    assert re.search(r"Salesforce has sent no message for 36\d\d s", page())
    assert "Stalled" in listing()


def test_the_backlog_is_counted_by_state(admin_client, page, listener, make_delivery):
    make_delivery(state="dead")
    make_delivery(state="dead")
    make_delivery(state="retrying", due_at=NOW)
    make_delivery(state="succeeded")
    html = page()
    assert f"?state=dead&amp;listener={listener.name}" in html
    assert f"?state=retrying&amp;listener={listener.name}" in html
    assert "?state=succeeded" not in html


def test_open_incidents_are_linked(page, listing, listener):
    incident = Incident.objects.create(
        listener=listener,
        kind="gap",
        summary="Gap events: Account",
        opened_at=NOW,
        last_seen_at=NOW,
    )
    assert f"/admin/audit/incident/{incident.pk}/change/" in page()
    assert "?state=open" in listing()


def test_a_listener_goes_with_its_incidents_when_nothing_was_recorded(admin_client, listener):
    Incident.objects.create(
        listener=listener, kind="configuration", opened_at=NOW, last_seen_at=NOW
    )
    response = admin_client.post(f"/admin/listeners/listener/{listener.pk}/delete/", {"post": "1"})
    assert response.status_code == 302
    assert not Incident.objects.exists()


def test_a_listener_with_a_history_stays_and_is_not_read_to_say_so(
    admin_client, listener, make_entry
):
    make_entry()
    other = make_listener()
    address = f"/admin/listeners/listener/{listener.pk}/delete/"
    with CaptureQueriesContext(connection) as queries:
        html = admin_client.get(address).content.decode()
    assert f"The changes recorded by {listener}: stop it instead" in html
    assert all("LIMIT 1" in sql for sql in _reading("audit_auditlogentry", queries))
    chosen = {"action": "delete_selected", "_selected_action": [listener.pk, other.pk], "post": "1"}

    admin_client.post(address, {"post": "1"})
    admin_client.post("/admin/listeners/listener/", chosen)

    assert Listener.objects.count() == 2


def _reading(table: str, queries: CaptureQueriesContext) -> list[str]:
    return [query["sql"] for query in queries if f'FROM "{table}"' in query["sql"]]
