"""The audit log's pages show each row once, in each order and direction."""

from datetime import timedelta

import pytest
from django.db import OperationalError, connection

from audit.db.row_count import time_limit
from audit.models import AuditLogEntry
from console.admin import keyset_list
from console.admin.audit_log.page import AuditLogAdmin
from console.admin.deliveries.page import DeliveryAdmin
from handlers.models import Delivery
from tests.console.conftest import NOW
from tests.sample_data import make_listener

pytestmark = pytest.mark.slow

LOG = "/admin/audit/auditlogentry/"
DELIVERIES = "/admin/handlers/delivery/"
BY_RECEIPT = {"received_at_from_0": "2025-11-25"}
BY_COMMIT = {"commit_timestamp_from_0": "2025-01-01"}


@pytest.fixture
def pages(admin_client, monkeypatch):
    """Returns the rows of all pages from an address on, in one direction."""
    monkeypatch.setattr(AuditLogAdmin, "list_per_page", 2)

    def walk(address, direction):
        found = []
        while address:
            cl = admin_client.get(address).context["cl"]
            found.append([row.pk for row in cl.result_list])
            onward = getattr(cl, direction)
            last, address = address, f"{LOG}{onward}" if onward else ""
        return found, last

    return walk


@pytest.mark.parametrize("parameters", [{}, BY_RECEIPT, BY_COMMIT])
def test_every_row_is_on_one_page_there_and_back(pages, make_entry, parameters):
    # Out of order, and two at one moment.
    for minutes in (3, 1, 2, 2, 5):
        when = NOW + timedelta(minutes=minutes)
        make_entry(received_at=when, commit_timestamp=int(when.timestamp() * 1000))
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    there, last = pages(f"{LOG}?{query}", "older")
    by = {"received_at_from_0": "-received_at", "commit_timestamp_from_0": "-commit_timestamp"}
    order = [by[name] for name in parameters] + ["-id"]
    assert [pk for page in there for pk in page] == list(
        AuditLogEntry.objects.order_by(*order).values_list("pk", flat=True)
    )
    back, _ = pages(last, "newer")
    assert [len(page) for page in there] == [2, 2, 1]
    assert back == [there[2], there[1], there[0]]


def test_deliveries_of_a_listener_are_on_one_page_there_and_back(
    admin_client, make_entry, make_delivery, monkeypatch
):
    monkeypatch.setattr(DeliveryAdmin, "list_per_page", 2)
    other = make_listener()
    first = make_entry(listener=other)
    for entry in (first, make_entry(), make_entry(listener=other), first, make_entry()):
        make_delivery(entry)
    address, there = f"{DELIVERIES}?listener={other.name}", []
    while address:
        cl = admin_client.get(address).context["cl"]
        there.append([row.pk for row in cl.result_list])
        address, back = f"{DELIVERIES}{cl.older}" if cl.older else "", f"{DELIVERIES}{cl.newer}"
    mine = Delivery.objects.filter(entry__listener=other).order_by("-entry_id", "-id")
    assert [pk for page in there for pk in page] == list(mine.values_list("pk", flat=True))
    cl = admin_client.get(back).context["cl"]
    assert [row.pk for row in cl.result_list] == there[0]


def test_a_new_search_begins_at_the_newest(admin_client, make_entry):
    made = [make_entry() for _ in range(2)]
    html = admin_client.get(LOG, {"before": made[1].pk, "entity": "Account"}).content.decode()
    assert 'name="entity"' in html
    assert 'name="before"' not in html


@pytest.mark.parametrize(
    ("parameters", "position"),
    [
        ({}, "x"),
        ({}, "1,1"),
        ({}, "-1"),
        ({}, "²"),
        ({}, "9" * 5000),
        (BY_RECEIPT, "soon,1"),
        (BY_RECEIPT, "5,1"),
        (BY_RECEIPT, "2025-11-25T12:00:00,1"),
        (BY_RECEIPT, "0001-01-01T00:00:00+14:00,1"),
        (BY_COMMIT, "2025-11-25,1"),
        (BY_COMMIT, "7"),
    ],
)
def test_a_position_that_is_none_is_refused(admin_client, make_entry, parameters, position):
    make_entry()
    assert admin_client.get(LOG, {**parameters, "before": position}).url == f"{LOG}?e=1"


def test_all_that_match_can_be_redelivered_at_once(admin_client, make_delivery, monkeypatch):
    monkeypatch.setattr(AuditLogAdmin, "list_per_page", 2)
    made = [make_delivery(state="dead") for _ in range(3)]
    assert "Select all matching rows" in admin_client.get(LOG).content.decode()
    asked = {"action": "redeliver", "select_across": "1", "_selected_action": made[0].entry_id}
    response = admin_client.post(f"{LOG}?state=dead", {**asked, "index": "0"})
    assert sum(row["count"] for row in response.context["rows"]) == 3


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no such limit")
def test_a_search_that_takes_too_long_is_given_up(admin_client, make_entry, monkeypatch):
    make_entry()
    monkeypatch.setattr(keyset_list, "SECONDS", 0.2)
    slow = AuditLogEntry.objects.extra(where=["pg_sleep(5) IS NOT NULL"])
    monkeypatch.setattr(AuditLogAdmin, "get_queryset", lambda *_: slow)
    response = admin_client.get(LOG)
    assert response.status_code == 200
    assert "Add a filter" in response.content.decode()


@pytest.mark.django_db
def test_other_failures_of_the_database_are_not_hidden():
    with pytest.raises(OperationalError, match="gone"), time_limit(1):
        raise OperationalError("the server is gone")
