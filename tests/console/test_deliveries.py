"""Deliveries are found by state, handler, listener, time and record, in pages."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from audit.db import rare
from audit.models import AuditLogEntry
from console.admin.audit_log.page import AuditLogAdmin
from console.admin.deliveries.page import DeliveryAdmin
from handlers.models import Delivery
from handlers.outbox.create import AWAITS_RECORD
from tests.console.conftest import NOW
from tests.sample_data import make_deleted_mapping, make_listener, make_mapping

DELIVERIES = "/admin/handlers/delivery/"


def test_deliveries_are_filtered_by_state(listed, make_delivery):
    make_delivery()
    dead = make_delivery(state="dead")
    assert listed(DELIVERIES, state="dead") == [dead]


@pytest.mark.parametrize("few", [1, 2])
def test_a_state_is_found_however_many_deliveries_have_it(listed, make_delivery, monkeypatch, few):
    monkeypatch.setattr(rare, "FEW", few)
    made = [make_delivery(state="queued") for _ in range(2)]
    make_delivery(state="skipped")
    assert listed(DELIVERIES, state="queued") == made[::-1]
    assert listed(DELIVERIES, state="queued", handler="gone.handler") == []
    assert listed(DELIVERIES, state="ready") == []


def test_deliveries_are_filtered_by_handler(listed, make_delivery):
    make_delivery()
    other = make_delivery(handler="gone.handler")
    assert listed(DELIVERIES, handler="gone.handler") == [other]


def test_deliveries_are_filtered_by_listener(listed, make_entry, make_delivery):
    make_delivery()
    other = make_delivery(make_entry(listener=make_listener(name="another")))
    assert listed(DELIVERIES, listener="another") == [other]


def test_deliveries_are_found_by_record(listed, make_entry, make_delivery):
    make_delivery()
    wanted = make_delivery(make_entry(record_id="0015g00000EqG9GAAV"))
    assert listed(DELIVERIES, q="0015g00000EqG9G") == [wanted]
    assert listed(DELIVERIES, q="0015g00000EqG") == [wanted]


def test_deliveries_are_filtered_by_time_and_in_that_times_order(listed, make_delivery):
    days = [make_delivery(created_at=NOW + timedelta(days=number)) for number in (2, 0, 1, 5)]

    found = listed(DELIVERIES, created_at_from_0="2025-11-25", created_at_to_0="2025-11-27")

    assert found == [days[0], days[2], days[1]]


def test_dead_deliveries_of_a_time_are_in_the_order_of_recording(listed, make_delivery):
    """A day without dead deliveries would take as long as all deliveries of the day."""
    days = [
        make_delivery(created_at=NOW + timedelta(days=number), state="dead") for number in (2, 0, 5)
    ]

    found = listed(
        DELIVERIES, created_at_from_0="2025-11-25", created_at_to_0="2025-11-27", state="dead"
    )

    assert found == [days[1], days[0]]


def test_a_delivery_that_waits_for_its_record_says_so_once_and_not_as_an_error(
    admin_client, make_delivery
):
    waiting = make_delivery(state="blocked", awaits_record=True, error=AWAITS_RECORD)

    html = admin_client.get(f"{DELIVERIES}{waiting.pk}/change/").content.decode()

    assert html.count(AWAITS_RECORD) == 1
    assert f"It {AWAITS_RECORD}." in html


def test_each_delivery_is_on_one_page(admin_client, make_delivery, monkeypatch):
    monkeypatch.setattr(DeliveryAdmin, "list_per_page", 2)
    made = [make_delivery(state="dead").pk for _ in range(5)]
    pages, address = [], f"{DELIVERIES}?state=dead"
    while address:
        changes = admin_client.get(address).context["cl"]
        pages.append([row.pk for row in changes.result_list])
        address = DELIVERIES + changes.older if changes.older else ""

    assert pages == [made[4:2:-1], made[2:0:-1], made[:1]]


@pytest.mark.parametrize(
    ("admin_class", "page"),
    [(DeliveryAdmin, DELIVERIES), (AuditLogAdmin, "/admin/audit/auditlogentry/")],
)
def test_back_from_a_row_is_the_page_that_it_was_on(
    admin_client, make_delivery, monkeypatch, admin_class, page
):
    monkeypatch.setattr(admin_class, "list_per_page", 1)
    for _ in range(3):
        make_delivery(state="dead")
    second = admin_client.get(f"{page}?state=dead").context["cl"].older
    answer = admin_client.get(page + second)
    [row] = answer.context["cl"].result_list

    link = answer.content.decode().split(f'href="{page}{row.pk}/change/')[1].split('"')[0]
    opened = admin_client.get(f"{page}{row.pk}/change/{link}").content.decode()

    back = opened.split('title="Go back"')[0].rsplit('href="', 1)[1].split('"')[0]
    again = admin_client.get(back.replace("&amp;", "&")).context["cl"]
    assert list(again.result_list) == [row]


def test_a_page_takes_as_many_queries_for_one_row_as_for_many(admin_client, make_delivery):
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            admin_client.get(DELIVERIES)
        return len(captured)

    make_delivery(state="dead")
    one = queries()
    for _ in range(20):
        make_delivery(state="dead")

    assert queries() == one


PLANS = {
    "state=dead": "delivery_dead",
    "state=dead&group=00000000000003e7": "delivery_error_group",
    "created_at_from_0=2025-11-25": "delivery_created",
    "created_at_from_0=2025-11-25&before=2025-11-25T12:00:00%2B00:00,5": "delivery_created",
}


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite plans by its own words")
def test_an_index_finds_the_page(listener, make_entry, admin_user):
    with connection.cursor() as cursor:  # rows of earlier tests are still in the indexes
        cursor.execute("TRUNCATE audit_auditlogentry CASCADE")
    entry = make_entry()
    entries = [
        AuditLogEntry(
            **{
                field.attname: getattr(entry, field.attname)
                for field in AuditLogEntry._meta.concrete_fields
                if field.name not in ("id", "sequence_number")
            },
            sequence_number=number + 2,
        )
        for number in range(4000)
    ]
    AuditLogEntry.objects.bulk_create(entries)
    mapping = make_deleted_mapping(listener)
    Delivery.objects.bulk_create(
        Delivery(
            entry=one,
            mapping=mapping,
            handler="tests.remember",
            state="blocked" if number in (5, 7) else "succeeded" if number % 40 else "dead",
            error_group="" if number % 40 else f"{number % 1000:016x}",
            created_at=NOW + timedelta(days=number - 3950),
        )
        for number, one in enumerate(entries)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")

    def plan(query: str) -> str:
        request = RequestFactory().get(f"{DELIVERIES}?{query}")
        request.user = admin_user
        changes: Any = admin.site.get_model_admin(Delivery).get_changelist_instance(request)
        return changes.page_query().explain()

    plans = {query: plan(query) for query in PLANS}
    assert {q: plans[q] for q, words in PLANS.items() if words not in plans[q]} == {}
    assert "id = ANY" in plan("state=blocked")  # few, whatever the statistics say


#: What the console filters, counts and joins dead deliveries by.
DEAD_COLUMNS = ("handler", "created_at", "entry", "error_group", "started_at", "halts")


@pytest.mark.skipif(connection.vendor != "postgresql", reason="not on SQLite")
@pytest.mark.parametrize(
    ("state", "order", "index", "columns"),
    [
        ("dead", ["id"], "delivery_dead", DEAD_COLUMNS),
        ("retrying", ["error_group", "-id"], "delivery_error_group", ("entry",)),
    ],
)
def test_failed_deliveries_are_filtered_from_an_index_alone(
    make_delivery, state, order, index, columns
):
    """They lie far apart in the table: each would take a page of it."""
    found = Delivery.objects.filter(state=state).order_by(*order).values(*columns)
    with connection.cursor() as cursor:  # for a small table, the database would rather read it
        for way in ("seqscan", "bitmapscan", "sort"):
            cursor.execute(f"SET LOCAL enable_{way} = off")
    assert f"Index Only Scan using {index}" in found.explain()


@pytest.mark.parametrize("few", [True, False])
def test_a_listeners_deliveries_are_also_those_of_deleted_mappings(
    make_entry, make_delivery, make_listener, few
):
    mine, other = make_listener(), make_listener()
    made = {}
    for listener in (mine, other):
        mapping, deleted = make_mapping(listener), make_mapping(listener, "update")
        made[listener] = [
            make_delivery(make_entry(listener=listener), mapping=one).pk
            for one in (mapping, deleted)
        ]
        deleted.delete()

    found = Delivery.objects.of_listener(mine.pk, few=few).order_by("id")

    assert list(found.values_list("pk", flat=True)) == made[mine]
