"""Bulk inserts, by COPY where the database has it, store the same values as Django's."""

from datetime import UTC, datetime

import pytest
from django.db import DataError, IntegrityError, connection, transaction
from django.utils import timezone

from audit.db.bulk_insert import INSERT_ROWS, insert, object_factory
from audit.models import AuditLogEntry
from handlers.models import Delivery
from tests.sample_data import make_mapping

pytestmark = pytest.mark.django_db(transaction=True)

DATA = {"Name": 'Ünï "q" \\ \t\n', "Revenue": 12.5, "Big": 2**70, "None": None, "In": {"a": [1]}}


def entry(listener, number=1, **values):
    return object_factory(AuditLogEntry)(
        {
            "listener_id": listener.pk,
            "channel": "/data/ChangeEvents",
            "entity_name": "Account",
            "record_id": f"001{number}",
            "change_type": "UPDATE",
            "transaction_key": f"key-{number}",
            "sequence_number": 1,
            "commit_timestamp": 1_764_000_000_000,
            "changed_data": DATA,
            "received_at": timezone.now(),
            **values,
        }
    )


def stored(row):
    fields = [field.attname for field in row._meta.concrete_fields]
    return {name: getattr(row, name) for name in fields}


#: Further rows beside the tested one: PostgreSQL gets few rows by INSERT and many by COPY.
BESIDE = pytest.mark.parametrize("beside", [0, INSERT_ROWS - 1, INSERT_ROWS])


def others(listener, count):
    return [entry(listener, 100 + number) for number in range(count)]


@BESIDE
def test_every_column_is_kept_as_it_was(listener, beside):
    given = entry(
        listener,
        changed_fields=["Name", 'It\'s {a} \\ "list"'],
        nulled_fields=[],
        commit_number=-(2**63),
        as_of=2**62,
        received_at=datetime(2026, 11, 26, 3, 4, 5, 678901, tzinfo=UTC),
        source=AuditLogEntry.Source.GAP,
    )

    insert([*others(listener, beside), given])

    assert stored(AuditLogEntry.objects.get(pk=given.pk)) == stored(given)
    assert AuditLogEntry.objects.get(
        as_of=2**62, diff_fields__isnull=True, nulled_fields=[]
    ).commit_number == -(2**63)
    assert not given._state.adding


@pytest.mark.parametrize("count", [INSERT_ROWS, 2500])
def test_ids_follow_the_order_that_was_given(listener, count):
    rows = [entry(listener, number) for number in range(count)]

    insert(rows)

    assert [row.pk for row in rows] == sorted({row.pk for row in rows})
    read = AuditLogEntry.objects.order_by("id").values_list("pk", "record_id")
    assert list(read) == [(row.pk, row.record_id) for row in rows]


def test_rows_that_are_added_otherwise_get_other_ids(listener):
    insert([entry(listener, 1)])
    entry(listener, 2).save()
    insert([entry(listener, 3)])

    assert AuditLogEntry.objects.count() == 3


@BESIDE
def test_what_is_not_given_is_the_fields_default(listener, beside):
    mapping = make_mapping(listener)
    entries = insert([entry(listener), *others(listener, beside)])
    values = {"mapping_id": mapping.pk, "handler": "x", "state": Delivery.State.BLOCKED}
    make = object_factory(Delivery)

    insert([make({**values, "entry_id": e.pk, "created_at": timezone.now()}) for e in entries])

    found = Delivery.objects.filter(entry=entries[0])
    delivery = found.get(paused=False, error_group="")
    assert (delivery.state, delivery.error, delivery.redelivery) == ("blocked", "", None)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"entity_name": None}, IntegrityError),
        ({"listener_id": 10**9}, IntegrityError),
        ({"transaction_key": "key-0"}, IntegrityError),
        ({"record_count": -1}, IntegrityError),
    ],
)
@BESIDE
def test_what_the_database_refuses_it_refuses_as_ever(listener, values, error, beside):
    insert([entry(listener, 0, record_id="001")])
    refused = entry(listener, 0, **{"record_id": "001", **values})

    with pytest.raises(error), transaction.atomic():
        insert([*others(listener, beside), refused])

    assert AuditLogEntry.objects.count() == 1


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite stores them")
@pytest.mark.parametrize("values", [{"record_id": "a" * 256}, {"changed_data": {"Name": "a\0"}}])
@BESIDE
def test_what_only_postgresql_refuses(listener, values, beside):
    with pytest.raises(DataError), transaction.atomic():
        insert([*others(listener, beside), entry(listener, **values)])


def test_nothing_is_no_row(listener):
    assert insert([]) == []


@pytest.mark.parametrize("name", ['"', "\\", "{}", ",", "NULL", "", "ü", "' OR 1=1 --"])
def test_among_finds_any_text(listener, name):
    insert([entry(listener, 1, record_id=f"1{name}"), entry(listener, 2, record_id="2")])

    found = AuditLogEntry.objects.filter(record_id__among={f"1{name}", "3"})

    assert [one.record_id for one in found] == [f"1{name}"]


def test_among_finds_numbers_and_nothing_among_nothing(listener):
    one, two = insert([entry(listener, 1), entry(listener, 2)])

    assert set(AuditLogEntry.objects.filter(pk__among=[one.pk, two.pk, 0])) == {one, two}
    assert AuditLogEntry.objects.filter(listener__among=[listener.pk]).count() == 2
    assert not AuditLogEntry.objects.filter(pk__among=[])
    assert not AuditLogEntry.objects.filter(record_id__among=[])
