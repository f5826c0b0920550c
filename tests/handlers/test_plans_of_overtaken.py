"""SQLite finds the later changes of a record by an index on the record, however long the log is."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from consumer.ingest.transaction import ingest
from handlers.models import Delivery
from handlers.redelivery.start import count_overtaken
from handlers.superseded.history import histories, later_rows
from tests.sample_data import change, lease_of, make_mapping, received

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL plans by its statistics"),
]


@pytest.fixture
def deliveries(listener):
    make_mapping(listener, "update", ordering="unordered")
    ingest(listener, lease_of(listener), received(change("UPDATE"), change("UPDATE")))
    return list(Delivery.objects.select_related("entry").order_by("id"))


def plan(work):
    """Return the query plan of the statement that searches entries by record."""
    with CaptureQueriesContext(connection) as queries:
        work()
    [sql] = [query["sql"] for query in queries if '"record_id"' in query["sql"]]
    with connection.cursor() as cursor:
        return str(cursor.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall())


def test_for_first_attempts_without_order(deliveries):
    found = plan(lambda: later_rows(deliveries[0].entry.listener_id, deliveries))

    assert "USING COVERING INDEX entry_record (record_id=? AND id>?)" in found


def test_for_what_is_delivered_again(deliveries):
    found = plan(lambda: histories(deliveries[0].entry.listener_id, deliveries))

    assert "USING INDEX entry_record (record_id=?" in found


def test_for_counting(deliveries):
    Delivery.objects.update(state="dead", attempts=1, finished_at=timezone.now())

    found = plan(lambda: count_overtaken(Delivery.objects.all()))

    assert "entry_record (record_id=? AND id>?)" in found


def test_what_waits_is_not_read(deliveries):
    first, second = deliveries
    listener_id = first.entry.listener_id
    assert later_rows(listener_id, [first]) == {}

    Delivery.objects.filter(pk=second.pk).update(state="succeeded", attempts=1)

    [[row]] = later_rows(listener_id, [first]).values()
    assert row.pk == second.pk
