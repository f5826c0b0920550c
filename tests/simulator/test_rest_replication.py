"""The ids of records that were updated or deleted within a time can be listed."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.simulator.process import SimulatorProcess
from tests.simulator.rest_client import RestClient

pytestmark = pytest.mark.anywhere

MINUTE = timedelta(minutes=1)


@pytest.fixture
def rest(shared_org: SimulatorProcess) -> RestClient:
    return RestClient(shared_org)


def window(start: timedelta, end: timedelta) -> dict[str, str]:
    """Return a window with times relative to now."""
    now = datetime.now(UTC)
    return {"start": (now + start).isoformat(), "end": (now + end).isoformat()}


def test_updated_and_deleted_records_are_found(
    shared_org: SimulatorProcess, rest: RestClient
) -> None:
    kept, gone = shared_org.create("Opportunity", {"Name": "Kept"}, {"Name": "Gone"})
    shared_org.delete("Opportunity", gone)
    around, before = window(-MINUTE, 2 * MINUTE), window(-5 * MINUTE, -2 * MINUTE)

    updated = rest.send("GET", "sobjects/Opportunity/updated/", **around).json()
    deleted = rest.send("GET", "sobjects/Opportunity/deleted/", **around).json()
    earlier = rest.send("GET", "sobjects/Opportunity/updated", **before).json()

    assert updated["ids"] == [kept]
    assert datetime.fromisoformat(updated["latestDateCovered"]) <= datetime.now(UTC)
    assert [one["id"] for one in deleted["deletedRecords"]] == [gone]
    assert deleted["deletedRecords"][0]["deletedDate"].endswith(".000+0000")
    assert {"earliestDateAvailable", "latestDateCovered"} <= deleted.keys()
    assert earlier["ids"] == []
    assert earlier["latestDateCovered"].endswith(":00.000+0000")


@pytest.mark.parametrize(
    ("resource", "query"),
    [
        ("updated", {}),
        ("updated", {"start": "yesterday", "end": "today"}),
        ("updated", window(MINUTE, -MINUTE)),
        ("updated", window(timedelta(days=-31), MINUTE)),
        ("deleted", window(timedelta(days=-16), MINUTE)),
    ],
)
def test_a_window_that_is_refused(rest: RestClient, resource: str, query: dict[str, str]) -> None:
    response = rest.send("GET", f"sobjects/Account/{resource}", **query)

    [error] = response.json()
    assert (response.status_code, error["errorCode"]) == (400, "INVALID_REPLICATION_DATE")


def test_seconds_are_ignored(rest: RestClient) -> None:
    now = datetime.now(UTC)
    start, end = (now.replace(second=second).isoformat() for second in (1, 59))

    response = rest.send("GET", "sobjects/Account/updated", start=start, end=end)

    assert response.json()[0]["errorCode"] == "INVALID_REPLICATION_DATE"


def test_a_purged_recycle_bin_makes_a_full_replication_necessary(
    org: SimulatorProcess,
) -> None:
    rest, around = RestClient(org), window(-2 * MINUTE, 5 * MINUTE)
    [gone] = org.create("Account", Name="Gone")
    org.delete("Account", gone)
    before = rest.send("GET", "sobjects/Account/deleted", **around).json()

    org.post("recycle-bin/empty")

    [error] = rest.send("GET", "sobjects/Account/deleted", **around).json()
    assert len(before["deletedRecords"]) == 1
    assert error["errorCode"] == "INVALID_REPLICATION_DATE"
    org.advance(120)
    later = rest.send("GET", "sobjects/Account/deleted", **window(MINUTE, 5 * MINUTE)).json()
    assert later["earliestDateAvailable"] == before["deletedRecords"][0]["deletedDate"]


def test_calculated_records_are_found_unless_there_are_too_many() -> None:
    options = ("--max-replicated-ids", "30", "--records", "Account=10000")
    with SimulatorProcess(*options) as org:
        rest, days = RestClient(org), timedelta(days=1)
        few = rest.send("GET", "sobjects/Account/updated", **window(-3 * days, 2 * MINUTE)).json()
        many = rest.send("GET", "sobjects/Account/updated", **window(-9 * days, 2 * MINUTE))

        assert len(few["ids"]) == len(set(few["ids"])) > 10
        assert many.json()[0]["errorCode"] == "EXCEEDED_ID_LIMIT"


def test_an_object_that_is_not_replicateable_is_refused(org: SimulatorProcess) -> None:
    org.entity("Account", replicateable=False)
    rest = RestClient(org)

    response = rest.send("GET", "sobjects/Account/updated", **window(-MINUTE, MINUTE))

    assert response.status_code == 400
    assert rest.send("GET", "sobjects/Account/describe").json()["replicateable"] is False
