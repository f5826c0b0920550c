"""The control API shows the org's state, and refuses wrong input without a change."""

from typing import Any

import pytest
import requests

from tests.servers import PATIENCE_SECONDS
from tests.simulator.process import SimulatorProcess
from tests.simulator.wire_client import ALL, WireClient

pytestmark = pytest.mark.anywhere

CREATE = {"op": "create", "entity": "Account", "fields": {"Name": "Acme"}}


@pytest.mark.parametrize(
    ("action", "body", "error"),
    [
        ("changes", {"op": "explode", "entity": "Account"}, "unknown op 'explode'"),
        ("changes", {"op": "create"}, "lacks 'entity'"),
        ("changes", {"op": "create", "entity": "Lead"}, "unknown entity 'Lead'"),
        ("changes", {**CREATE, "colour": "red"}, "unknown key 'colour'"),
        ("changes", {**CREATE, "fields": [1]}, "'fields' must be a JSON object"),
        ("changes", {"changes": []}, "'changes' must be a list with at least one item"),
        ("changes", {"changes": [CREATE, 7]}, "change 2 must be a JSON object"),
        ("changes", {"changes": [CREATE, {"op": "create"}]}, "change 2 lacks 'entity'"),
        (
            "changes",
            {"op": "update", "entity": "Account", "record_ids": ["001x"], "fields": {}},
            "no live Account has the id '001x'",
        ),
        (
            "changes",
            {"op": "update", "entity": "Account", "record_ids": [], "fields": {}},
            "'record_ids' must name at least one record",
        ),
        (
            "changes",
            {"op": "undelete", "entity": "Account", "record_ids": ["001x"]},
            "no Account in the Recycle Bin has the id '001x'",
        ),
        (
            "changes",
            {"op": "gap", "entity": "Account", "change_type": "GAP", "record_ids": ["001x"]},
            "unknown change_type 'GAP'",
        ),
        ("events", {"fields": {}}, "lacks 'header'"),
        ("messages", {"channel": ALL}, "lacks 'message' or 'data'"),
        ("duplicates", {"replay_id": 5}, "no retained event has the replay_id 5"),
        ("bursts", {"count": 0}, "'count' must be a whole number of at least 1"),
        ("bursts", {"count": 1, "mix": {"explode": 1}}, "unknown 'explode'"),
        ("traffic", {"rate": -1}, "'rate' must be a number of at least 0"),
        ("faults", {"kind": "fire"}, "unknown kind 'fire'"),
        ("faults", {"kind": "close", "colour": "red"}, "close has no option 'colour'"),
        ("faults", {"kind": "http_status", "target": "moon"}, "target must be one of"),
        ("faults", {"kind": "http_status", "status": "x"}, "option 'status' has a value"),
        ("faults", {"kind": "refuse_subscribe"}, "needs the error string"),
        ("faults", {"kind": "stall", "times": 0}, "'times' must be a whole number"),
        ("channels", {"name": "X", "entities": []}, "ends with __chn"),
        ("channels", {"name": "X__chn", "entities": ["Lead"]}, "unknown entity 'Lead'"),
        ("clock", {"advance_seconds": "soon"}, "'advance_seconds' must be a number"),
    ],
)
def test_wrong_input_is_named(
    shared_org: SimulatorProcess, action: str, body: dict[str, Any], error: str
) -> None:
    with pytest.raises(ValueError) as caught:
        shared_org.post(action, **body)

    assert error in str(caught.value)
    state = shared_org.state()
    assert (state["event_count"], state["record_count"], state["faults"]) == (0, 0, [])


@pytest.mark.parametrize("body", ["{", "[]", '"text"'])
def test_what_is_not_an_object_is_refused(shared_org: SimulatorProcess, body: str) -> None:
    response = requests.post(
        f"{shared_org.url}/_simulator/changes", data=body, timeout=PATIENCE_SECONDS
    )

    assert response.status_code == 400
    assert response.json()["error"]


def test_the_state_has_records_events_and_sessions(
    org: SimulatorProcess, client: WireClient
) -> None:
    client.start()
    kept, dropped = org.create("Account", {"Name": "Kept"}, {"Name": "Dropped"})
    org.delete("Account", dropped)
    client.receive()

    state = org.state()

    assert state["records"]["Account"][kept]["Name"] == "Kept"
    assert state["recycle_bin"]["Account"] == [dropped]
    types = [event["header"]["changeType"] for event in state["events"]]
    assert types == ["CREATE", "CREATE", "DELETE"]
    assert state["session_count"] == 1
    assert state["sessions"][0]["subscriptions"] == [ALL]
    assert state["sessions"][0]["delivered"] == state["delivered"] == 3


def test_the_lists_of_the_state_can_be_limited(org: SimulatorProcess) -> None:
    org.burst(30)

    state = org.state(events=2, records=1)

    assert len(state["events"]) == 2
    assert state["event_count"] == 30
    assert state["events"][-1]["replay_id"] == state["newest_replay_id"]
    assert all(len(records) <= 1 for records in state["records"].values())


def test_a_writer_can_be_chosen(org: SimulatorProcess) -> None:
    answer = org.change(CREATE, CREATE, client="my-app", api="soap")

    header = answer["events"][0]["header"]
    assert header["changeOrigin"] == "com/salesforce/api/soap/67.0;client=my-app"


def test_a_burst_can_be_quiet(org: SimulatorProcess) -> None:
    answer = org.burst(100, quiet=True)

    assert answer["count"] == 100
    assert answer["changes"] >= 100
    assert set(answer) == {"count", "changes"}
