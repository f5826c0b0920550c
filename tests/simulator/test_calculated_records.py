"""Records that are calculated from a seed when they are read behave like stored ones."""

from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.simulator.process import SimulatorProcess
from tests.simulator.rest_client import RestClient

pytestmark = pytest.mark.anywhere

COUNT = 5_000
MILLION = 1_000_000


@pytest.fixture(scope="module")
def shared_org() -> Iterator[SimulatorProcess]:
    """An org with calculated records; tests change different ones of them."""
    given = ("--records", f"Account={COUNT}", "--records", f"Contact={2 * COUNT}")
    with SimulatorProcess("--seed", "7", *given) as process:
        yield process


@pytest.fixture
def rest(shared_org: SimulatorProcess) -> RestClient:
    return RestClient(shared_org)


def rows(rest: RestClient, query: str, kind: str = "query") -> list[dict[str, Any]]:
    answer = rest.send("GET", kind, q=query).json()
    found: list[dict[str, Any]] = answer["records"]
    while not answer["done"]:
        answer = rest.send("GET", answer["nextRecordsUrl"]).json()
        found += answer["records"]
    return found


def first(rest: RestClient, entity: str, offset: int) -> str:
    [row] = rows(rest, f"SELECT Id FROM {entity} ORDER BY Id LIMIT 1 OFFSET {offset}")
    record_id: str = row["Id"]
    return record_id


def test_every_record_is_found_once_in_the_order_of_ids(rest: RestClient) -> None:
    ids = [row["Id"] for row in rows(rest, "SELECT Id FROM Contact ORDER BY SystemModstamp, Id")]

    assert len(ids) == 2 * COUNT
    assert ids == sorted(set(ids))


def test_a_seed_makes_the_same_records() -> None:
    shown = []
    for seed in ("1", "1", "2"):
        with SimulatorProcess("--seed", seed, "--records", "Account=50") as org:
            lines = list(org.records("Account"))
            shown.append([(line["id"], line["fields"]["Phone"]) for line in lines])

    assert shown[0] == shown[1]
    assert shown[0] != shown[2]


def test_a_calculated_record_is_changed_like_any_other(
    shared_org: SimulatorProcess, rest: RestClient
) -> None:
    record_id = first(rest, "Account", 10)
    before = rest.send("GET", f"sobjects/Account/{record_id}").json()

    shared_org.update("Account", record_id, Phone="1")
    changed = rest.send("GET", f"sobjects/Account/{record_id}").json()
    shared_org.delete("Account", record_id)
    missing = rest.send("GET", f"sobjects/Account/{record_id}")
    [binned] = rows(rest, f"SELECT IsDeleted FROM Account WHERE Id = '{record_id}'", "queryAll")
    shared_org.undelete("Account", record_id)
    restored = rest.send("GET", f"sobjects/Account/{record_id}").json()

    assert (changed["Phone"], changed["Website"]) == ("1", before["Website"])
    assert (missing.status_code, binned["IsDeleted"]) == (404, True)
    assert restored["Phone"] == "1"


def test_a_hard_delete_and_new_records(shared_org: SimulatorProcess, rest: RestClient) -> None:
    gone = first(rest, "Contact", 100)
    shared_org.hard_delete("Contact", gone)
    [made] = shared_org.create("Contact", Name={"LastName": "New"})

    ids = {record["id"] for record in shared_org.records("Contact")}

    assert len(ids) == 2 * COUNT
    assert gone not in ids
    assert made in ids
    assert rows(rest, f"SELECT Id FROM Contact WHERE Id = '{gone}'", "queryAll") == []


def test_a_cascade_and_a_merge_find_calculated_children(
    shared_org: SimulatorProcess, rest: RestClient
) -> None:
    parent, kept, merged = (first(rest, "Account", offset) for offset in (20, 30, 40))
    delete = {"op": "delete", "entity": "Account", "record_ids": [parent], "cascade": True}

    events = shared_org.change(delete)["events"]
    shared_org.merge("Account", kept, merged)
    of_kept = rows(rest, f"SELECT Id FROM Contact WHERE AccountId = '{kept}'")
    shared_org.undelete("Account", parent)

    assert [len(event["header"]["recordIds"]) for event in events] == [1, 2]
    assert len(of_kept) == 4
    assert len(rows(rest, f"SELECT Id FROM Contact WHERE AccountId = '{parent}'")) == 2


def test_pages_after_a_key_have_every_row_once(
    shared_org: SimulatorProcess, rest: RestClient
) -> None:
    shared_org.update("Account", first(rest, "Account", 1_000), Phone="2")
    found: list[str] = []
    condition = "SystemModstamp > 2001-01-01T00:00:00Z"
    while page := rows(
        rest,
        f"SELECT Id, SystemModstamp FROM Account WHERE {condition} "
        "ORDER BY SystemModstamp, Id LIMIT 900",
    ):
        found += [row["Id"] for row in page]
        stamp, last = page[-1]["SystemModstamp"].replace("+0000", "Z"), page[-1]["Id"]
        condition = f"(SystemModstamp = {stamp} AND Id > '{last}') OR SystemModstamp > {stamp}"

    [total] = rows(rest, "SELECT COUNT(Id) n FROM Account")
    assert len(found) == len(set(found)) == total["n"]


def test_windows_of_creation_have_every_row_once(rest: RestClient) -> None:
    middle = rows(rest, f"SELECT CreatedDate FROM Contact ORDER BY Id LIMIT 1 OFFSET {COUNT}")
    stamp = middle[0]["CreatedDate"].replace("+0000", "Z")

    counts = [
        rows(rest, f"SELECT COUNT(Id) n FROM Contact WHERE CreatedDate {sign} {stamp}")[0]["n"]
        for sign in ("<", ">=")
    ]

    assert sum(counts) == 2 * COUNT
    assert COUNT - 1 <= counts[0] <= COUNT + 1


@pytest.mark.parametrize(
    "selected",
    [
        "COUNT(Id), MAX(SystemModstamp), MIN(CreatedDate) FROM Account WHERE {condition}",
        "CALENDAR_YEAR(CreatedDate) y, CALENDAR_MONTH(CreatedDate) m, COUNT(Id), "
        "MAX(SystemModstamp) FROM Account WHERE {condition} GROUP BY CALENDAR_YEAR(CreatedDate), "
        "CALENDAR_MONTH(CreatedDate) ORDER BY MIN(CreatedDate)",
    ],
)
def test_records_that_are_only_counted_have_the_aggregates_of_those_that_are_read(
    shared_org: SimulatorProcess, rest: RestClient, selected: str
) -> None:
    changed, gone = first(rest, "Account", 2_000), first(rest, "Account", 2_001)
    shared_org.update("Account", changed, Phone="3")
    shared_org.hard_delete("Account", gone)
    stamps = rows(rest, "SELECT CreatedDate FROM Account ORDER BY Id LIMIT 1 OFFSET 300")
    condition = "CreatedDate > " + stamps[0]["CreatedDate"].replace("+0000", "Z")

    counted = rows(rest, "SELECT " + selected.format(condition=condition))
    read = rows(rest, "SELECT " + selected.format(condition=f"Id != null AND {condition}"))

    assert counted == read
    assert len(counted) >= 1


def test_a_converted_field_is_converted_in_calculated_records(
    shared_org: SimulatorProcess, rest: RestClient
) -> None:
    record_id = first(rest, "Contact", 60)
    rest.send("PATCH", f"sobjects/Contact/{record_id}", {"Birthdate": "2001-02-03"})

    shared_org.field_type("Contact", "Birthdate", "datetime")

    found = rows(rest, "SELECT Birthdate FROM Contact WHERE Birthdate != null LIMIT 20")
    assert {row["Birthdate"][10:] for row in found} == {"T00:00:00.000+0000"}


def test_a_million_records_take_little_memory_and_are_found_at_once(
    org: SimulatorProcess,
) -> None:
    before = resident_kilobytes(org)
    org.post("records", entity="Account", count=MILLION, seed=1)
    rest = RestClient(org)

    process = psutil.Process(org.pid)
    started = process.cpu_times()
    [page] = [rows(rest, "SELECT Id, Name FROM Account WHERE Id > '0015g' ORDER BY Id LIMIT 200")]
    [last] = rows(rest, f"SELECT Id FROM Account WHERE Id > '{page[-1]['Id']}' ORDER BY Id LIMIT 1")
    ended = process.cpu_times()

    assert (len(page), last["Id"] > page[-1]["Id"]) == (200, True)
    assert org.state(records=1)["record_count"] == MILLION
    assert ended.user + ended.system - started.user - started.system < 5
    assert resident_kilobytes(org) - before < 20_000


def resident_kilobytes(org: SimulatorProcess) -> int:
    with open(f"/proc/{org.pid}/status") as status:
        [line] = [line for line in status if line.startswith("VmRSS")]
    return int(line.split()[1])
