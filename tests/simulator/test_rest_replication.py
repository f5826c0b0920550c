"""The ids of what was updated and deleted within a time."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.simulator.process import SimulatorProcess
from tests.simulator.rest_client import RestClient

pytestmark = [pytest.mark.any_database, pytest.mark.any_python]

MINUTE = timedelta(minutes=1)


@pytest.fixture
def rest(shared_org: SimulatorProcess) -> RestClient:
    return RestClient(shared_org)


def window(start: timedelta, end: timedelta) -> dict[str, str]:
    """Times relative to now."""
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
