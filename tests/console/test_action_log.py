"""The action log records each action of an operator with its user and reason, and no secret."""

import json

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError

from audit.action_log import Actor, Through
from audit.models import Incident, OperatorAction
from consumer import listener_control
from listeners.models import Connection, Listener
from tests.commands.running import CONNECTION, ConfigurationFile, run
from tests.console.conftest import NOW
from tests.sample_data import ANN, make_mapping

LOG = "/admin/audit/operatoraction/"
LISTENERS = "/admin/listeners/listener/"


def told() -> list[tuple[str, ...]]:
    """Return the logged actions in order: user, interface, action, object type and name."""
    rows = OperatorAction.objects.order_by("id")
    return [(one.who, one.through, one.action, one.object_type, one.object_name) for one in rows]


def last() -> OperatorAction:
    return OperatorAction.objects.latest("id")


def act(client, page: str, action: str, *rows, **more: str):
    asked = {"action": action, "_selected_action": [row.pk for row in rows], "index": "0", **more}
    return client.post(page, asked)


def test_a_stop_is_logged_with_its_reason(admin_client, admin_user, listener):
    admin_client.post(f"{LISTENERS}{listener.pk}/stop/", {"reason": " an <b>upgrade</b> "})
    assert told() == [("admin", "admin", "stop", "listener", listener.name)]
    assert (last().user, last().reason) == (admin_user, "an <b>upgrade</b>")
    admin_client.post(f"{LISTENERS}{listener.pk}/stop/")
    assert OperatorAction.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_redelivery_is_logged_with_its_filter(admin_client, make_delivery, broker):
    mapping = make_mapping(make_delivery().entry.listener)
    delivery = make_delivery(state="dead", mapping=mapping)
    page = "/admin/handlers/delivery/?state=dead"
    act(admin_client, page, "redeliver", delivery, confirm="yes", reason="mended")
    assert [row[2:4] for row in told()] == [("redeliver", "redelivery")]
    assert last().reason == "mended"
    assert last().details["state"] == "dead"


def test_each_incident_is_logged_separately(admin_client, listener):
    two = [
        Incident.objects.create(
            listener=listener, kind="gap", key=key, summary=key, opened_at=NOW, last_seen_at=NOW
        )
        for key in ("Account", "Contact")
    ]
    act(admin_client, "/admin/audit/incident/", "acknowledge_incidents", two[0])
    act(admin_client, "/admin/audit/incident/", "close_incidents", *two, note="read by hand")
    assert [row[2] for row in told()] == ["acknowledge", "close", "close"]
    assert last().reason == "read by hand"


def test_an_edit_names_its_fields_and_never_a_secret(admin_client, listener):
    connection = listener.connection
    page = f"/admin/listeners/connection/{connection.pk}/"
    form = admin_client.get(f"{page}change/").context["adminform"].form
    shown = {name: form[name].value() for name in form.fields if name != "is_sandbox"}
    form = {name: "" if value is None else value for name, value in shown.items()}
    form |= {"name": "prod", "client_secret": "hush hush"}
    assert admin_client.post(f"{page}change/", form).status_code == 302
    assert last().details == {"fields": ["Name", "Client secret"]}
    assert "hush" not in json.dumps(list(OperatorAction.objects.values()), default=str)
    assert admin_client.post(f"{page}change/", form | {"client_secret": ""}).status_code == 302
    assert OperatorAction.objects.count() == 1


def test_what_is_deleted_keeps_its_name(admin_client, listener):
    other = Connection.objects.create(name="unused", auth="soap", username="u", password="p")
    third = Connection.objects.create(name="another", auth="soap", username="u", password="p")
    admin_client.post(f"/admin/listeners/connection/{other.pk}/delete/", {"post": "yes"})
    act(admin_client, "/admin/listeners/connection/", "delete_selected", third, post="yes")
    assert [row[2:] for row in told()] == [
        ("delete", "connection", "unused"),
        ("delete", "connection", "another"),
    ]


def test_a_user_who_is_deleted_stays_by_name(admin_client, client, django_user_model, listener):
    ann = django_user_model.objects.create_superuser("ann")
    client.force_login(ann)
    client.post(f"{LISTENERS}{listener.pk}/stop/")
    User.objects.filter(username="ann").delete()
    assert (last().who, last().user) == ("ann", None)


@pytest.mark.django_db(transaction=True)
def test_an_action_that_cannot_be_logged_is_not_done(listener):
    nobody = Actor("ann", Through.CONSOLE, user_id=0)
    with pytest.raises(IntegrityError):
        listener_control.stop(listener, nobody, "", NOW)
    assert Listener.objects.get().enabled


@pytest.mark.django_db(transaction=True)
def test_each_row_that_a_file_changes_is_logged(tmp_path):
    file = ConfigurationFile(tmp_path / "cdc.yaml")
    listeners = CONNECTION + "listeners:\n  - {name: crm, connection: prod, enabled: %s}\n"
    file.apply(listeners % "true", "--dry-run")
    assert not OperatorAction.objects.exists()
    file.apply(listeners % "true")
    assert [row[1:] for row in told()] == [
        ("command", "add", "connection", "prod"),
        ("command", "add", "listener", "crm"),
    ]
    file.apply(listeners % "false")
    assert told()[-1][1:] == ("command", "stop", "listener", "crm")


@pytest.mark.django_db(transaction=True)
def test_pruning_and_exports_of_sensitive_values_are_logged(listener):
    run("prune_audit_log", "--older-than", "30", "--dry-run")
    assert not OperatorAction.objects.exists()
    run("prune_audit_log", "--older-than", "30")
    run("export_audit_log", "--with-sensitive")
    told_by_command = [("command", action) for action in ("prune", "reveal", "export_ended")]
    assert [row[1:3] for row in told()] == told_by_command
    assert OperatorAction.objects.first() == last()


def test_the_log_is_filtered_and_a_row_leads_to_what_was_done_to_the_same(
    listed, admin_client, listener
):
    for act_on in (listener_control.stop, listener_control.start):
        act_on(listener, ANN, "<script>1</script>", NOW)
    start, stop = listed(LOG)
    assert listed(LOG, action__exact="stop") == [stop]
    assert listed(LOG, who="nobody") == []
    assert listed(LOG, q=listener.name[:5]) == [start, stop]
    page = admin_client.get(f"{LOG}{stop.pk}/change/").content.decode()
    assert "&lt;script&gt;1" in page
    assert "<script>1" not in page
    same = {"object_type": "listener", "object_id": str(listener.pk)}
    assert listed(LOG, **same) == [start, stop]
    assert listed(LOG, **same | {"object_id": "0"}) == []


def test_more_rows_need_no_more_queries(admin_client, listener, django_assert_max_num_queries):
    for _ in range(20):
        listener_control.stop(listener, ANN, "", NOW)
        listener_control.start(listener, ANN, "", NOW)
    admin_client.get(LOG)
    with django_assert_max_num_queries(8):
        admin_client.get(LOG)
