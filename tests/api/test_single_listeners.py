"""Permissions for single listeners and connections decide which rows the API shows and changes."""

import itertools
import socket
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from guardian.shortcuts import assign_perm

from audit.models import AuditLogEntry, Incident
from handlers.models import Delivery, Destination
from listeners.models import Connection, Listener
from tests.api.answers import errors, problem
from tests.api.requests import (
    ACTIONS,
    AUDIT_LOG,
    CONNECTIONS,
    DELIVERIES,
    INCIDENTS,
    LISTENERS,
    MAPPINGS,
    REDELIVERIES,
    STATUS,
    connection,
)
from tests.console.conftest import NOW
from tests.sample_data import make_listener, make_mapping

_numbers = itertools.count(1)
HANGING = (LISTENERS, MAPPINGS, AUDIT_LOG, DELIVERIES, INCIDENTS)


@pytest.fixture
def rows(db):
    """One row of each kind for two listeners, by the listener's name: `mine` and `other`."""
    return {name: _rows(make_listener(name=name)) for name in ("mine", "other")}


def _rows(listener: Listener) -> dict[str, Any]:
    mapping = make_mapping(listener)
    entry = AuditLogEntry.objects.create(
        listener=listener,
        entity_name="Account",
        record_id="001000000000001AAA",
        change_type="UPDATE",
        transaction_key=f"t{next(_numbers)}",
        sequence_number=1,
        commit_timestamp=1_764_000_000_000,
        changed_data={},
        received_at=NOW,
    )
    delivery = Delivery.objects.create(
        entry=entry, mapping=mapping, handler="tests.remember", state="queued", created_at=NOW
    )
    incident = Incident.objects.create(
        listener=listener, kind="gap", summary="gap", opened_at=NOW, last_seen_at=NOW
    )
    return dict(zip(HANGING, (listener, mapping, entry, delivery, incident), strict=True))


@pytest.fixture
def granted(client_of, rows):
    """A client of a user who has a permission for the listener `mine`, and others for all rows."""

    def make(codename: str, *permissions: str):
        client = client_of(*permissions)
        assign_perm(codename, User.objects.latest("id"), rows["mine"][LISTENERS])
        return client

    return make


def post(client, rows, address: str, verb: str):
    """Return the answers to the same POST for the user's own row and for the other listener's."""
    return [client.post(f"{address}{rows[n][address].pk}/{verb}/") for n in ("mine", "other")]


@pytest.mark.parametrize("address", HANGING)
def test_a_viewer_of_one_listener_sees_its_rows_and_no_others(granted, rows, address):
    client = granted("view_listener")

    found = client.get(address).json()["results"]

    assert [row["id"] for row in found] == [rows["mine"][address].pk]
    assert client.get(f"{address}{rows['mine'][address].pk}/").status_code == 200
    problem(client.get(f"{address}{rows['other'][address].pk}/"), 404)


def test_the_status_is_of_the_listeners_that_one_may_see(granted, api):
    shown = granted("view_listener").get(STATUS).json()

    assert [one["listener"] for one in shown["listeners"]] == ["mine"]
    assert shown["listeners"][0]["backlog"]["queued"] == 1
    assert shown["workers"] is None
    assert len(api.get(STATUS).json()["listeners"]) == 2


def test_what_hangs_on_no_single_listener_stays_closed(granted):
    client = granted("change_listener")

    for address in (ACTIONS, REDELIVERIES, CONNECTIONS):
        problem(client.get(address), 403)


def test_a_group_has_permissions_for_its_users(client_of, rows):
    client = client_of()
    group = Group.objects.create(name="CRM")
    User.objects.get().groups.add(group)
    problem(client.get(LISTENERS), 403)

    assign_perm("view_listener", group, rows["mine"][LISTENERS])

    assert [row["name"] for row in client.get(LISTENERS).json()["results"]] == ["mine"]


def test_to_see_a_listener_is_not_to_operate_it(granted, rows):
    client = granted("view_listener")

    for address, verb in ((LISTENERS, "stop"), (DELIVERIES, "go-on"), (INCIDENTS, "close")):
        for answer in post(client, rows, address, verb):
            assert "This requires the permission" in problem(answer, 403)["detail"]


def test_an_operator_of_one_listener_operates_no_other(granted, rows):
    client = granted("operate_listener")

    # The delivery does not halt its chain.
    for address, verb, status in (
        (LISTENERS, "stop", 200),
        (INCIDENTS, "close", 200),
        (DELIVERIES, "go-on", 409),
    ):
        mine, other = post(client, rows, address, verb)
        assert mine.status_code == status, mine.content
        problem(other, 404)
    assert list(Listener.objects.filter(enabled=True)) == [rows["other"][LISTENERS]]
    page = f"{LISTENERS}{rows['mine'][LISTENERS].pk}/"
    problem(client.patch(page, {"channel": "/data/AccountChangeEvent"}), 403)


def test_what_one_sees_and_may_not_operate_is_refused_and_not_hidden(granted, rows):
    client = granted("operate_listener", "view_listener")

    mine, other = post(client, rows, LISTENERS, "stop")

    assert mine.status_code == 200
    problem(other, 403)


def test_an_editor_of_one_listener_edits_its_settings_and_mappings(granted, rows):
    client, listener = granted("change_listener"), rows["mine"][LISTENERS]
    page = f"{LISTENERS}{listener.pk}/"
    mapping = {"on": "delete", "entity": "Lead", "handler": "tests.remember"}

    assert client.patch(page, {"channel": "/data/AccountChangeEvent"}).status_code == 200
    assert client.post(MAPPINGS, {"listener": "mine", **mapping}).status_code == 201
    refused = errors(client.post(MAPPINGS, {"listener": "other", **mapping}))
    assert refused == {"listener": ["There is no listener 'other'."]}
    problem(client.delete(f"{MAPPINGS}{rows['other'][MAPPINGS].pk}/"), 404)
    problem(client.post(LISTENERS, {"name": "new", "connection": "x"}), 403)
    problem(client.delete(page), 403)


def test_a_change_that_is_refused_makes_the_server_connect_to_no_destination(granted, rows):
    client = granted("change_listener")
    page = f"{MAPPINGS}{rows['other'][MAPPINGS].pk}/"
    with socket.create_server(("127.0.0.1", 0)) as broker:
        url = f"redis://127.0.0.1:{broker.getsockname()[1]}/0"
        Destination.objects.create(name="shop", broker=url)

        task = {"handler": "", "task": "shop.sync", "destination": "shop"}
        problem(client.patch(page, task), 404)

        broker.setblocking(False)
        with pytest.raises(BlockingIOError):
            broker.accept()


def test_a_listener_is_not_moved_to_a_connection_that_its_user_may_not_see(granted, rows):
    client, listener = granted("change_listener"), rows["mine"][LISTENERS]
    page, own = f"{LISTENERS}{listener.pk}/", listener.connection.name
    other = Connection.objects.create(**connection(name="crown"))

    assert client.patch(page, {"connection": own}).status_code == 200
    assert "connection" in errors(client.patch(page, {"connection": "crown"}))

    assign_perm("view_connection", User.objects.latest("id"), other)
    assert client.patch(page, {"connection": "crown"}).status_code == 200
    assert [row["name"] for row in client.get(CONNECTIONS).json()["results"]] == ["crown"]
    problem(client.patch(f"{CONNECTIONS}{other.pk}/", {"client_id": "x"}), 403)


def test_a_connections_token_is_not_sent_where_only_its_listeners_user_says(granted, rows):
    client, listener = granted("change_listener"), rows["mine"][LISTENERS]
    page = f"{LISTENERS}{listener.pk}/"
    elsewhere = {"pubsub_endpoint": "api.pubsub.salesforce.com.example:7443"}
    eu = {"pubsub_endpoint": "api.deu.pubsub.salesforce.com:7443"}

    assert client.patch(page, eu).status_code == 200
    assert "change connection" in errors(client.patch(page, elsewhere))["pubsub_endpoint"][0]

    assign_perm("change_connection", User.objects.latest("id"), listener.connection)
    assert client.patch(page, elsewhere).status_code == 200
    other = Connection.objects.create(**connection(name="crown"))
    assign_perm("view_connection", User.objects.latest("id"), other)
    assert "pubsub_endpoint" in errors(client.patch(page, {"connection": "crown"}))


def test_permissions_for_one_listener_open_nothing_of_the_console(client, rows):
    user = User.objects.create_user("ann", is_staff=True)
    assign_perm("change_listener", user, rows["mine"][LISTENERS])
    client.force_login(user)

    pk = rows["mine"][LISTENERS].pk
    assert client.get("/admin/").status_code == 200
    assert "mine" not in client.get("/admin/").content.decode()
    for page in ("listener/", f"listener/{pk}/change/", f"listener/{pk}/stop/"):
        assert client.get(f"/admin/listeners/{page}").status_code == 403


def test_permissions_go_with_their_listener(granted, rows):
    client, listener = granted("delete_listener"), rows["mine"][LISTENERS]
    AuditLogEntry.objects.all().delete()
    page = f"{LISTENERS}{listener.pk}/"

    assert client.delete(page).status_code == 204
    problem(client.get(page), 403)


@pytest.mark.parametrize("address", HANGING)
def test_they_cost_as_many_queries_for_one_row_as_for_ten(
    granted, rows, address, django_assert_num_queries
):
    client = granted("view_listener")
    client.get(address)  # what is read once a process is read
    with CaptureQueriesContext(database) as before:
        client.get(address)
    for _ in range(9):
        assign_perm("view_listener", User.objects.latest("id"), _rows(make_listener())[LISTENERS])

    with django_assert_num_queries(len(before)):
        assert len(client.get(address).json()["results"]) == 10
    assert len(before) <= 8
