"""Custom channels with enriched fields and filters split events of several records into events with
one replay id."""

from collections.abc import Iterator
from typing import Any

import pytest

from listeners.salesforce.pubsub.wire import pubsub_api_pb2 as pb
from simulator.options import Options
from simulator.org.changes import Create, Delete, Gap, HardDelete, Update
from simulator.org.channels import Member
from simulator.org.events import StoredEvent
from simulator.org.org import Org
from tests.servers import PATIENCE_SECONDS
from tests.simulator.process import SimulatorProcess
from tests.simulator.pubsub_client import PubSubClient
from tests.simulator.wire_client import WireClient

pytestmark = pytest.mark.anywhere

NOW = 1_712_694_387_250
CHANNEL = "/data/Sales__chn"
HEADER = "ChangeEventHeader"


@pytest.fixture
def org() -> Org:
    org = Org(Options(seed=1), now=NOW)
    org.channels.define("Sales__chn", ["Account"], {"Account": Member(("Industry", "Fax"))})
    return org


@pytest.fixture
def keys(org: Org) -> tuple[str, ...]:
    fields = [{"Name": name, "Industry": name * 2} for name in "AB"]
    events = org.commit([Create("Account", tuple(fields))], now=NOW)
    return tuple(key for event in events for key in event.payload[HEADER]["recordIds"])


def bodies(parts: list[StoredEvent]) -> dict[str, dict[str, object]]:
    """Return the fields by record, without the date."""
    return {
        part.payload[HEADER]["recordIds"][0]: {
            name: value
            for name, value in part.payload.items()
            if name not in (HEADER, "LastModifiedDate")
        }
        for part in parts
    }


def test_an_update_of_two_records_is_split_and_shares_its_replay_id(
    org: Org, keys: tuple[str, ...]
) -> None:
    [event] = org.commit([Update("Account", keys, {"Phone": "1"})], now=NOW)

    parts = org.delivered(CHANNEL, event)

    assert {part.replay_id for part in parts} == {event.replay_id}
    assert [part.payload[HEADER]["recordIds"] for part in parts] == [[key] for key in keys]
    assert parts[0].payload[HEADER]["changedFields"] == ["Phone", "LastModifiedDate"]
    [first, second] = keys
    assert bodies(parts) == {
        first: {"Phone": "1", "Industry": "AA"},
        second: {"Phone": "1", "Industry": "BB"},
    }
    assert org.delivered("/data/AccountChangeEvent", event) == [event]
    assert org.delivered("/data/ChangeEvents", event) == [event]


def test_enriched_values_are_those_at_the_delivery_unless_the_field_changed(
    org: Org, keys: tuple[str, ...]
) -> None:
    [event] = org.commit([Update("Account", keys[:1], {"Industry": "old"})], now=NOW)
    org.commit([Update("Account", keys[:1], {"Industry": "new", "Fax": "new"})], now=NOW)

    [part] = org.delivered(CHANNEL, event)

    assert bodies([part]) == {keys[0]: {"Industry": "old", "Fax": "new"}}


def test_a_deletion_is_enriched_as_long_as_the_record_exists(
    org: Org, keys: tuple[str, ...]
) -> None:
    [event] = org.commit([Delete("Account", keys)], now=NOW)
    parts = org.delivered(CHANNEL, event)
    assert [part["Industry"] for part in bodies(parts).values()] == ["AA", "BB"]

    org.commit([HardDelete("Account", keys)], now=NOW)
    assert list(bodies(org.delivered(CHANNEL, event)).values()) == [{}, {}]


def test_creations_and_gaps_are_not_enriched(org: Org) -> None:
    [created] = org.commit([Create("Account", ({"Name": "A"}, {"Name": "A"}))], now=NOW)
    keys = tuple(created.payload[HEADER]["recordIds"])
    [gap] = org.commit([Gap("Account", "GAP_UPDATE", keys)], now=NOW)

    assert len(keys) == 2
    for event in (created, gap):
        assert org.delivered(CHANNEL, event) == [event]


def received(client: WireClient, count: int) -> list[Any]:
    """Return the `data` of so many messages, from as many connects as necessary."""
    found: list[Any] = []
    while len(found) < count:
        found += client.receive()
    return found


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatorProcess]:
    with SimulatorProcess("--connect-timeout", "1", grpc=True) as process:
        yield process


def test_both_apis_deliver_the_parts_live_and_again(running: SimulatorProcess) -> None:
    running.channel("Both__chn", "Account", enriched_fields={"Account": ["Industry"]})
    keys = running.create("Account", {"Name": "A", "Industry": "X"}, {"Name": "B"})
    start = running.state()["newest_replay_id"]
    with WireClient(running) as live, WireClient(running) as late, PubSubClient(running) as client:
        live.start("/data/Both__chn")
        running.update("Account", keys, Phone="1")
        running.create("Account", Name="C")
        events = received(live, 3)
        late.start("/data/Both__chn", start)
        again = received(late, 3)
        position = {"replay_preset": pb.ReplayPreset.CUSTOM, "replay_id": start.to_bytes(8, "big")}
        stream = client.subscribe("/data/Both__chn", 10, **position)
        decoded = [client.decoded(event) for event in stream.events(3)]

    ids = [event["event"]["replayId"] for event in events]
    assert (ids[0] == ids[1], ids[1] == ids[2]) == (True, False)
    assert again == events
    payloads = [event["payload"] for event in events]
    for found in (payloads, decoded):
        assert [one.get("Industry") for one in found] == ["X", None, None]
        assert [one[HEADER]["recordIds"] for one in found[:2]] == [[key] for key in keys]


def test_a_filter_admits_by_present_values_and_its_fields_are_enriched(
    running: SimulatorProcess,
) -> None:
    filters = {"Account": "Industry = 'Energy' AND ChangeEventHeader.changeType != 'DELETE'"}
    running.channel("Energy__chn", "Account", "Contact", filters=filters)
    with WireClient(running) as client:
        client.start("/data/Energy__chn")
        one, other = running.create("Account", {"Name": "A", "Industry": "Energy"}, {"Name": "B"})
        running.update("Account", [one, other], Phone="1")
        running.update("Account", other, Industry="Energy")
        running.delete("Account", one)
        [contact] = running.create("Contact", LastName="Doe")
        payloads = [event["payload"] for event in received(client, 4)]

    records = [payload[HEADER]["recordIds"] for payload in payloads]
    assert records == [[one], [one], [other], [contact]]
    assert payloads[1]["Industry"] == "Energy"


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"enriched_fields": {"Contact": ["Phone"]}}, "unknown key 'Contact'"),
        ({"filters": {"Account": "Phone LIKE"}}, "invalid filter 'Phone LIKE'"),
    ],
)
def test_wrong_definitions_are_refused(
    running: SimulatorProcess, members: dict[str, object], error: str
) -> None:
    body = {"name": "Wrong__chn", "entities": ["Account"], **members}
    answer = running.http.post(
        f"{running.url}/_simulator/channels", json=body, timeout=PATIENCE_SECONDS
    )
    assert answer.status_code == 400
    assert error in answer.json()["error"]


def test_the_tooling_api_shows_enriched_fields_and_filters(running: SimulatorProcess) -> None:
    running.channel(
        "Shown__chn",
        "Account",
        enriched_fields={"Account": ["Industry"]},
        filters={"Account": "Fax != null"},
    )
    with WireClient(running) as client:
        client.log_in()
        soql = (
            "SELECT Metadata FROM PlatformEventChannelMember "
            "WHERE DeveloperName = 'Shown_chn_AccountChangeEvent'"
        )
        answer = client.get("/services/data/v67.0/tooling/query", q=soql).json()

    [row] = answer["records"]
    assert row["Metadata"]["enrichedFields"] == [{"name": "Industry"}]
    assert row["Metadata"]["filterExpression"] == "Fax != null"
