"""Writing rows in bulk, with the version guard in SQL."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import models, transaction
from django.utils import timezone

from mirror.apply import row_page, upsert
from mirror.apply.guard import (
    Row,
    Verdict,
    event_time,
    judge_deletion_read,
    judge_read,
    milliseconds,
    read_time,
)
from mirror.schema.columns import columns_of
from tests.mirror.crm.models import Account

pytestmark = pytest.mark.django_db(transaction=True)

BASE = 1_790_000_000_000
COLUMNS = columns_of(Account)
NAMES = ("salesforce_id", "is_deleted", "version", "raw", "name", "annual_revenue", "created_date")


def an_id(number):
    return f"001{number:015d}"


def record(number, version=None, *, is_deleted=False, name="read"):
    version = version or read_time(BASE)
    return (an_id(number), is_deleted, version, '{"X__c": 1}', name, Decimal("1.5"), version)


def write(rows, read_at, **options):
    return upsert.write(COLUMNS, "default", NAMES, rows, read_at, **options)


def test_records_that_were_read_are_inserted_and_updated():
    assert write([record(1), record(2, is_deleted=True)], read_time(BASE)).applied == 2
    Account.all_objects.filter(pk=an_id(1)).update(industry="Kept")
    later = read_time(BASE + 60_000)
    assert write([record(1, later, name="newer")], later) == upsert.Written(1)
    account = Account.objects.get()
    assert (account.name, account.industry, account.version) == ("newer", "Kept", later)
    assert (account.annual_revenue, account.raw) == (Decimal("1.5"), {"X__c": 1})
    assert account.synced_at == later
    assert Account.all_objects.get(pk=an_id(2)).is_deleted


def test_raw_keeps_the_fields_that_a_read_lacks_and_loses_those_that_got_a_column():
    kept = {"Hidden__c": "kept", "X__c": 0, "Name": "did not fit", "Y__c": {"a": 1}}
    for number in range(row_page.MANY + 1):
        write([record(number)], read_time(BASE))
    Account.all_objects.update(raw=kept)
    columns = COLUMNS.against(["Name", "AnnualRevenue", "X__c", "CreatedDate"])
    later = read_time(BASE + 60_000)

    for numbers in (range(1), range(1, row_page.MANY + 1)):  # one row, and by COPY
        rows = [record(number, later) for number in numbers]
        written = upsert.write(columns, "default", NAMES, rows, later)
        assert written.applied == len(rows)

    found = list(Account.all_objects.values_list("raw", flat=True))
    assert found == [{"Hidden__c": "kept", "X__c": 1, "Y__c": {"a": 1}}] * len(found)


def test_an_id_that_comes_twice_is_written_once():
    assert write([record(1), record(1, name="last")], read_time(BASE)).applied == 1
    assert Account.objects.get().name == "last"


@pytest.mark.parametrize("is_confirmed", [False, True])
@pytest.mark.parametrize("at_least", [1, row_page.MANY])
def test_the_guard_in_sql_decides_as_the_guard_in_python(at_least, is_confirmed):
    rng = random.Random(7)
    rows, reads, wanted = {}, [], {}
    read_at = read_time(BASE)
    moments = (-600_000, -3_000, -2_000, -1_999, -1, 0, 1, 1_999, 2_000, 2_001, 3_000, 600_000)
    for number in range(max(at_least, 240)):
        key, shift = an_id(number), rng.choice(moments)
        synced_at = rng.choice((read_time(BASE + shift), event_time(BASE + shift, 1), None))
        version = rng.choice((read_time(BASE + rng.randrange(-5, 3) * 1_000), None))
        row = Row(version, synced_at, is_deleted=rng.random() < 0.3)
        if rng.random() < 0.9:
            rows[key] = row
        is_deleted = rng.random() < 0.2
        read_version = rng.choice((read_time(BASE + rng.randrange(-5, 3) * 1_000),) * 5 + (None,))
        reads.append((*record(number, is_deleted=is_deleted)[:2], read_version, *record(1)[3:]))
        wanted[key] = (
            judge_deletion_read(rows.get(key), read_at)
            if is_deleted
            else judge_read(rows.get(key), read_version, read_at, is_confirmed=is_confirmed)
        )
    Account.all_objects.bulk_create(
        Account(
            pk=key,
            name="stored",
            version=row.version,
            synced_at=row.synced_at,
            is_deleted=row.is_deleted,
        )
        for key, row in rows.items()
    )
    written = upsert.Written(0, {})
    for start in range(0, len(reads), at_least if at_least > 1 else 40):
        some = reads[start : start + (at_least if at_least > 1 else 40)]
        part = write(some, read_at, is_confirmed=is_confirmed)
        written = upsert.Written(written.applied + part.applied, written.doubtful | part.doubtful)
    names = dict(Account.all_objects.values_list("pk", "name"))
    applied = {key for key, name in names.items() if name == "read"}
    assert applied == {key for key, verdict in wanted.items() if verdict is Verdict.APPLY}
    assert written.applied == len(applied)
    doubtful = {key for key, verdict in wanted.items() if verdict is Verdict.READ}
    assert {*written.doubtful} == doubtful
    for key, since in written.doubtful.items():
        assert since == milliseconds(max(rows[key].synced_at, read_at))


def test_records_that_a_read_did_not_find_become_tombstones_and_keep_their_values():
    write([record(1)], read_time(BASE))
    at = read_time(BASE + 10_000)
    assert upsert.write_absent(COLUMNS, "default", [an_id(1), an_id(2)], at).applied == 2
    known, unknown = Account.all_objects.order_by("pk")
    assert known.is_deleted
    assert known.is_complete
    assert known.name == "read"
    assert known.synced_at == at
    assert known.version == read_time(BASE)
    assert unknown.is_deleted
    assert not unknown.is_complete
    assert unknown.raw == {}


def test_a_record_deleted_within_the_margin_is_doubtful():
    write([record(1)], read_time(BASE))
    written = upsert.write_absent(COLUMNS, "default", [an_id(1)], read_time(BASE + 1_000))
    assert written == upsert.Written(0, {an_id(1): BASE + 1_000})


def test_a_row_inserted_by_another_process_in_the_meantime_stops_the_batch():
    write([record(1)], read_time(BASE))
    with pytest.raises(upsert.Overtaken), transaction.atomic():
        upsert.write_decided(COLUMNS, "default", NAMES, [record(1), record(2)], [])
    assert Account.all_objects.count() == 1


def test_decided_rows_are_written_over_any_stored_row():
    write([record(1)], read_time(BASE))
    old = read_time(BASE) - timedelta(days=1)
    with transaction.atomic():
        upsert.write_decided(COLUMNS, "default", NAMES, [record(2)], [record(1, old, name="x")])
    assert Account.objects.get(pk=an_id(1)).name == "x"
    assert Account.objects.count() == 2


def test_raw_needs_no_default(monkeypatch):
    raw = Account._meta.get_field("raw")
    monkeypatch.setattr(raw, "default", models.NOT_PROVIDED)
    monkeypatch.setattr(raw, "_get_default", lambda: None)

    upsert.write_absent(columns_of(Account), "default", [an_id(1)], timezone.now())

    assert Account.all_objects.get().raw == {}


@pytest.mark.parametrize("as_text", [False, True])
def test_an_object_in_raw_replaces_the_stored_one(as_text):
    first, later = {"A__c": {"x": 1}, "B__c": 1}, {"A__c": {"y": 2}}
    for at, raw in ((BASE, first), (BASE + 60_000, later)):
        row = [*record(1, read_time(at))]
        row[NAMES.index("raw")] = json.dumps(raw) if as_text else raw
        write([row], read_time(at))

    assert Account.objects.get().raw == {"A__c": {"y": 2}, "B__c": 1}
