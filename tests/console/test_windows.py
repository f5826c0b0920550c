"""Audit records are read-only in the console, also for superusers."""

import pytest

from audit.action_log import Action, note
from audit.models import AuditLogEntry, Incident, OperatorAction, Quarantined
from handlers.models import Delivery
from tests.console.conftest import NOW
from tests.sample_data import ANN

pytestmark = pytest.mark.slow

PATHS = {
    AuditLogEntry: "/admin/audit/auditlogentry/",
    Incident: "/admin/audit/incident/",
    Quarantined: "/admin/audit/quarantined/",
    Delivery: "/admin/handlers/delivery/",
    OperatorAction: "/admin/audit/operatoraction/",
}


@pytest.fixture
def rows(listener, make_delivery):
    delivery = make_delivery()
    return {
        AuditLogEntry: delivery.entry,
        Delivery: delivery,
        Incident: Incident.objects.create(
            listener=listener, kind="gap", opened_at=NOW, last_seen_at=NOW
        ),
        OperatorAction: note(ANN, Action.STOP, listener),
        Quarantined: Quarantined.objects.create(
            listener=listener, raw="<b>raw</b>", digest="0", error="<i>odd</i>", received_at=NOW
        ),
    }


@pytest.mark.parametrize("model", PATHS)
def test_nothing_is_added(admin_client, rows, model):
    assert admin_client.get(f"{PATHS[model]}add/").status_code == 403
    assert admin_client.post(f"{PATHS[model]}add/", {}).status_code == 403


@pytest.mark.parametrize("model", PATHS)
def test_nothing_is_changed(admin_client, rows, model):
    path = f"{PATHS[model]}{rows[model].pk}/change/"
    assert admin_client.get(path).status_code == 200
    assert admin_client.post(path, {"handler": "x", "summary": "x"}).status_code == 403


@pytest.mark.parametrize("model", PATHS)
def test_nothing_is_deleted(admin_client, rows, model):
    path = f"{PATHS[model]}{rows[model].pk}/delete/"
    assert admin_client.post(path, {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": rows[model].pk, "post": "yes"}
    admin_client.post(PATHS[model], chosen)
    assert model.objects.filter(pk=rows[model].pk).exists()


@pytest.mark.parametrize("model", PATHS)
def test_the_list_opens(listed, rows, model):
    assert listed(PATHS[model]) == [rows[model]]


def test_a_quarantined_message_is_shown_escaped(admin_client, rows):
    path = f"{PATHS[Quarantined]}{rows[Quarantined].pk}/change/"
    html = admin_client.get(path).content.decode()
    assert "&lt;b&gt;raw&lt;/b&gt;" in html
    assert "&lt;i&gt;odd&lt;/i&gt;" in html
    assert "<b>raw</b>" not in html


def test_a_huge_quarantined_message_is_cut(admin_client, rows):
    Quarantined.objects.update(raw="x" * 150_000)
    path = f"{PATHS[Quarantined]}{rows[Quarantined].pk}/change/"
    html = admin_client.get(path).content.decode()
    assert "first part of 150000 characters" in html
    assert "x" * 100_000 in html
    assert "x" * 100_001 not in html
