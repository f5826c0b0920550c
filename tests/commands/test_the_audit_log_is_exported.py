import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError
from django.utils import timezone

from audit.models import AuditLogEntry, AuditLogFilter
from handlers.models import Delivery
from handlers.reporting.export import COLUMNS, csv_lines, exported, json_lines
from tests.commands.running import record, run
from tests.sample_data import change, make_listener, make_mapping

pytestmark = pytest.mark.django_db


def lines(*arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run("export_audit_log", *arguments).lines]


def records(*arguments: str) -> list[str]:
    return [line["record_id"] for line in lines(*arguments)]


def test_an_entry_has_the_documented_keys_in_their_order_and_native_types(listener):
    make_mapping(listener)
    data = {"Name": "Zoë 雪", "Amount": 1.5, "Closed": False, "Phone": None, "At": {"City": "Łódź"}}

    record(listener, change(data=data, replay=77))

    [entry] = lines()
    assert tuple(entry) == COLUMNS
    assert entry["listener"] == listener.name
    assert entry["changed_data"] == data
    assert entry["changed_fields"] is None
    assert entry["replay_id"] == 77
    assert entry["source"] == "stream"
    stored = AuditLogEntry.objects.get()
    assert entry["received_at"] == stored.received_at.isoformat().replace("+00:00", "Z")
    [delivery] = entry["deliveries"]
    queued = Delivery.objects.get()
    assert delivery == {
        "id": queued.pk,
        "handler": "tests.remember",
        "state": "queued",
        "attempts": 0,
        "error": None,
        "queued_at": queued.queued_at.isoformat().replace("+00:00", "Z"),
        "started_at": None,
        "finished_at": None,
    }
    assert "Zoë 雪" in run("export_audit_log").out


def test_header_fields_without_a_column_are_a_last_key_and_no_column(listener):
    record(listener, change(), change(isTransactionEnd=True))

    plain, more = lines()
    header, *rows = csv.reader(run("export_audit_log", "--format", "csv").lines)

    assert tuple(plain) == COLUMNS
    assert tuple(more) == (*COLUMNS, "header_extra")
    assert more["header_extra"] == {"isTransactionEnd": True}
    assert tuple(header) == COLUMNS
    assert [len(row) for row in rows] == [len(COLUMNS)] * 2


def test_nothing_is_written_for_nothing():
    assert run("export_audit_log").out == ""
    assert run("export_audit_log", "--format", "csv").lines == [",".join(COLUMNS)]


def test_half_a_surrogate_pair_is_written_as_its_escape():
    row = {"record_id": "half \ud83d", "changed_data": {"Name": "half \ud83d"}}

    [line] = json_lines([row])
    _, cells = csv_lines([row])

    assert json.loads(line.encode()) == row
    assert "half \\ud83d" in line
    assert cells.encode() == b'half \\ud83d,"{""Name"": ""half \\ud83d""}"\n'


def test_all_entries_come_once_and_in_order_for_any_chunk_size(listener):
    record(listener, *(change(records=[f"001-{number}"]) for number in range(10)))

    rows = [row["record_id"] for row in exported(AuditLogFilter(), chunk=3)]

    assert rows == [f"001-{number}" for number in range(10)]


def test_a_chunk_takes_the_same_few_queries_for_any_size(listener, django_assert_max_num_queries):
    make_mapping(listener)
    record(listener, *(change(records=[f"001-{number}"]) for number in range(30)))

    with django_assert_max_num_queries(3):  # entries, deliveries, and the end
        assert len(list(exported(AuditLogFilter(), chunk=1000))) == 30


def test_filters_pick_together(listener):
    other = make_listener(name="other")
    record(listener, change(records=["001a"]), change("UPDATE", records=["001b"]))
    record(other, change(records=["003a"], entity="Contact"))

    assert records("--listener", "other") == ["003a"]
    assert records("--entity", "Account") == ["001a", "001b"]
    assert records("--record", "001b") == ["001b"]
    assert records("--change-type", "UPDATE") == ["001b"]
    assert records("--entity", "Contact", "--change-type", "UPDATE") == []


def test_times_bound_the_receipt(listener):
    record(listener, change(records=["001a"]), change(records=["001b"]))
    old = AuditLogEntry.objects.filter(record_id="001a")
    old.update(received_at=timezone.now() - timedelta(days=400))

    year_ago = f"{timezone.now() - timedelta(days=365):%Y-%m-%d}"
    assert records("--since", year_ago) == ["001b"]
    assert records("--until", year_ago) == ["001a"]


def test_states_and_handlers_pick_entries_by_one_and_the_same_delivery(listener):
    make_mapping(listener, handler="tests.remember")
    make_mapping(listener, handler="tests.skip")
    record(listener, *(change(records=[f"001{name}"]) for name in "abc"))
    deliveries = Delivery.objects.filter(handler="tests.remember")
    deliveries.filter(entry__record_id="001a").update(state="dead")
    deliveries.filter(entry__record_id="001b").update(state="retrying", due_at=timezone.now())

    assert records("--state", "failed") == ["001a", "001b"]
    assert records("--state", "dead") == ["001a"]
    assert records("--state", "failed", "--handler", "tests.skip") == []
    assert records("--state", "failed", "--handler", "tests.remember") == ["001a", "001b"]
    assert records("--state", "queued", "--handler", "tests.remember") == ["001c"]


def test_csv_has_the_same_columns_with_json_inside(listener):
    make_mapping(listener)
    record(listener, change(data={"Name": 'a "quoted"\nname'}, changedFields=["Name"]))

    [row] = csv.DictReader(io.StringIO(run("export_audit_log", "--format", "csv").out))

    assert tuple(row) == COLUMNS
    assert json.loads(row["changed_data"]) == {"Name": 'a "quoted"\nname'}
    assert json.loads(row["changed_fields"]) == ["Name"]
    assert json.loads(row["deliveries"])[0]["state"] == "queued"


def test_csv_hides_formulas_from_spreadsheets(listener):
    record(listener, change(changeOrigin="=HYPERLINK(1)", commitUser="@SUM(1)"))
    AuditLogEntry.objects.update(changed_data={}, sequence_number=-5)

    [row] = csv.DictReader(io.StringIO(run("export_audit_log", "--format", "csv").out))

    assert row["change_origin"] == "'=HYPERLINK(1)"
    assert row["commit_user"] == "'@SUM(1)"
    assert row["sequence_number"] == "-5"
    assert row["changed_fields"] == ""


#: Beginnings that make a spreadsheet run a cell, also full-width signs and skipped characters.
STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\N{FULLWIDTH EQUALS SIGN}")
FULL_WIDTH = (
    "\N{FULLWIDTH PLUS SIGN}",
    "\N{FULLWIDTH HYPHEN-MINUS}",
    "\N{FULLWIDTH COMMERCIAL AT}",
)


@pytest.mark.parametrize("start", [*STARTS, *FULL_WIDTH, " =", "\N{NO-BREAK SPACE}\n@", "\ufeff="])
def test_csv_hides_each_beginning_of_a_formula(listener, start):
    record(listener, change())
    AuditLogEntry.objects.update(change_origin=f"{start}1+1", commit_number=-5)

    [row] = csv.DictReader(io.StringIO(run("export_audit_log", "--format", "csv").out, newline=""))

    assert row["change_origin"] == f"'{start}1+1"
    assert row["commit_number"] == "-5", "a number is a number"


def test_csv_leaves_other_texts_as_they_are(listener):
    record(listener, change())
    AuditLogEntry.objects.update(change_origin="a=b", commit_user="'quoted'")

    [row] = csv.DictReader(io.StringIO(run("export_audit_log", "--format", "csv").out))

    assert row["change_origin"] == "a=b"
    assert row["commit_user"] == "'quoted'"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--listener", "nobody"], "There is no listener 'nobody'. Known: none."),
        (["--listener", ""], "the value is empty; omit the option to select everything"),
        (["--since", "soon"], "'soon' is not a time; write 2026-01-31"),
        (["--state", "lost"], "invalid choice: 'lost'"),
    ],
)
def test_bad_usage_is_explained(arguments, message):
    with pytest.raises(CommandError) as refused:
        run("export_audit_log", *arguments)

    assert message in str(refused.value)
