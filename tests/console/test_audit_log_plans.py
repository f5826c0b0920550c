"""Each search and filter of the audit log uses an index, on both databases."""

from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from audit.models import AuditLogEntry
from console.admin.audit_log.field_rows import earlier
from handlers.models import Delivery
from tests.console.conftest import NOW
from tests.sample_data import make_deleted_mapping, make_listener

pytestmark = pytest.mark.slow

DELIVERIES = "/admin/handlers/delivery/"
LOG = "/admin/audit/auditlogentry/"
TRANSACTION = "0002343d-9d90-e395-ed20-cf416ba652ad"
PLANS = {
    "q=0015g0000000077": "entry_record",
    "q=0015g0000000077AAA": "entry_record",
    "q=0055g0000000077AAA": "entry_user",
    f"q={TRANSACTION}": "entry_identity",
    "entity=Entity77__c": "entry_entity",
    "entity=Entity77__c&before=1000": "entry_entity",
    "received_at_from_0=2025-11-25": "entry_received",
    "received_at_from_0=2025-11-25&before=2025-11-25T12:00:00%2B00:00,5": "entry_received",
    "commit_timestamp_from_0=2025-11-25": "entry_committed",
    "commit_timestamp_from_0=2025-11-25&before=1764050000000,5": "entry_committed",
}
#: SQLite takes a partial index for its own words only.
ON_POSTGRESQL = {
    "change_type=GAP_UPDATE": "entry_not_update",
    "source=reconcile": "entry_not_streamed",
}
on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="not on SQLite")


@pytest.fixture
def plan(listener, admin_user):
    """Returns the query plan of a page of the list, in a log with some entries of each kind."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # rows of earlier tests are still in the indexes
            cursor.execute("TRUNCATE audit_auditlogentry CASCADE")
        AuditLogEntry.objects.bulk_create(_entry(listener, number) for number in range(2000))
        cursor.execute("ANALYZE")

    def text(query: str) -> str:
        request = RequestFactory().get(f"{LOG}?{query}")
        request.user = admin_user
        changes: Any = admin.site.get_model_admin(AuditLogEntry).get_changelist_instance(request)
        return changes.page_query().explain()

    return text


def _entry(listener, number: int, record: str = "") -> AuditLogEntry:
    return AuditLogEntry(
        id=number + 1,  # so that `before` is in their middle, whichever ids were used before
        listener=listener,
        channel="/data/ChangeEvents",
        entity_name=f"Entity{number % 500}__c",
        record_id=record or f"0015g{number % 900:010}AAA",
        change_type="UPDATE",
        transaction_key=f"{number}",
        sequence_number=1,
        commit_timestamp=1_764_000_000_000 + number,
        commit_user=f"0055g{number % 800:010}AAA",
        received_at=NOW,
    )


def not_found_by(plan, expected: dict[str, str]) -> dict[str, str]:
    plans = {query: plan(query) for query in expected}
    return {query: plans[query] for query, index in expected.items() if index not in plans[query]}


def test_an_index_finds_the_page(plan):
    assert not_found_by(plan, PLANS) == {}


def test_a_time_of_one_listener_is_found_by_an_index_of_both(plan):
    idle = make_listener(name="idle")
    # So few that no other index costs nearly as little, however much earlier tests left in each.
    AuditLogEntry.objects.filter(id__lt=AuditLogEntry.objects.earliest("id").id + 20).update(
        listener=idle
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")

    assert "entry_listener_received" in plan("listener=idle&received_at_from_0=2025-11-25")


@on_postgresql
def test_what_is_rare_has_an_index_of_its_own(plan):
    assert not_found_by(plan, ON_POSTGRESQL) == {}


@on_postgresql
@pytest.mark.parametrize(
    ("given", "index"),
    [
        ("listener=idle", "entry_listener"),
        ("listener=idle&before=900,900", "entry_listener"),
    ],
)
def test_deliveries_are_found_by_an_index_too(plan, admin_user, given, index):
    """This holds even if an idle listener's deliveries are far behind all others."""
    idle = make_listener(name="idle")
    AuditLogEntry.objects.filter(id__lte=AuditLogEntry.objects.earliest("id").id + 3).update(
        listener=idle
    )
    mapping = make_deleted_mapping(idle)
    Delivery.objects.bulk_create(
        Delivery(entry_id=pk, mapping=mapping, handler="one", state="succeeded", created_at=NOW)
        for pk in AuditLogEntry.objects.values_list("pk", flat=True)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    request = RequestFactory().get(f"{DELIVERIES}?{given}")
    request.user = admin_user
    changes: Any = admin.site.get_model_admin(Delivery).get_changelist_instance(request)
    assert index in changes.page_query().explain()
    ready = Delivery.objects.filter(state="ready").order_by().values_list("pk")[:1001]
    assert "delivery_waiting" in ready.explain()


def test_an_index_finds_the_records_with_a_beginning(plan):
    entries = AuditLogEntry.objects.filter(record_id__begins="0015g00000077").order_by()
    assert "entry_record" in entries.values_list("record_id")[:1001].explain()


@on_postgresql
def test_earlier_entries_of_a_record_are_those_of_the_listener_in_the_index(plan, listener):
    """Otherwise the entries of the record's other listeners would be read too."""
    last = AuditLogEntry.objects.latest("id")
    with CaptureQueriesContext(connection) as captured:
        earlier(last)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        cursor.execute(f"EXPLAIN {captured[0]['sql']}")
        found = "\n".join(row[0] for row in cursor.fetchall())

    condition = next(line for line in found.splitlines() if "Index Cond" in line)
    assert "entry_record" in found
    assert "listener_id" in condition


@on_postgresql
def test_a_beginning_of_few_records_is_found_by_them(plan, listener):
    """Even if the statistics of the database say that a hundredth of all records has it."""
    AuditLogEntry.objects.bulk_create(
        _entry(listener, number, record=f"0015g{10 * number:010}AAA")
        for number in range(3000, 43_000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE audit_auditlogentry")
        cursor.execute(
            "SELECT histogram_bounds::text::text[] FROM pg_stats "
            "WHERE tablename = 'audit_auditlogentry' AND attname = 'record_id'"
        )
        bounds = cursor.fetchone()[0]
    beginning = bounds[len(bounds) // 2][:14]  # of one record
    assert AuditLogEntry.objects.filter(record_id__begins=beginning).count() == 1

    assert "entry_record" in plan(f"q={beginning}")


@on_postgresql
def test_a_beginning_is_found_in_any_locale(plan):
    """An index needs this operator class for prefix searches where the database's locale is not
    C."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'entry_record'")
        assert "record_id varchar_pattern_ops" in cursor.fetchone()[0]
    assert "~>=~" in AuditLogEntry.objects.filter(record_id__begins="0015g00000077").explain()
