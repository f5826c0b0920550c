"""Generated traffic is repeatable and realistic, and as much as requested."""

from collections import Counter
from typing import Any

import pytest

from simulator.options import Options
from simulator.org.changes import Delete
from simulator.org.description import field_names
from simulator.org.org import Org
from simulator.traffic.generator import SPLIT_MIX, Traffic, UnknownMixError
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.anywhere

NOW = 1_712_694_387_250
OPAQUE = ("transactionKey", "commitNumber")


def burst(seed: int, count: int = 300) -> list[Any]:
    org = Org(Options(seed=seed), now=NOW)
    return [event.payload for event in Traffic(org, seed).burst(count, NOW)]


def repeatable(payload: dict[str, Any]) -> dict[str, Any]:
    header = payload["ChangeEventHeader"]
    kept = {name: value for name, value in header.items() if name not in OPAQUE}
    return {**payload, "ChangeEventHeader": kept}


def test_the_same_seed_gives_the_same_traffic() -> None:
    first, second = burst(7), burst(7)

    assert [repeatable(payload) for payload in first] == [repeatable(line) for line in second]


def test_another_seed_gives_other_traffic() -> None:
    assert burst(7) != burst(8)


def test_transaction_keys_never_come_twice() -> None:
    keys = {line["ChangeEventHeader"]["transactionKey"] for line in burst(7) + burst(7)}

    assert len(keys) == 600


def test_the_mix_has_everything() -> None:
    payloads = burst(7)
    headers = [payload["ChangeEventHeader"] for payload in payloads]

    types = Counter(header["changeType"] for header in headers)
    entities = Counter(header["entityName"] for header in headers)

    assert set(types) == {"CREATE", "UPDATE", "DELETE", "UNDELETE"}
    assert set(entities) == {"Account", "Contact", "Opportunity", "Employee__c"}
    assert any(len(header["recordIds"]) > 1 for header in headers)
    assert any(header.get("nulledFields") for header in headers)


def test_each_step_is_one_event() -> None:
    org = Org(Options(seed=3), now=NOW)
    traffic = Traffic(org, 3)

    assert all(len(traffic.step(NOW)) == 1 for _ in range(500))  # none is split without asking


def test_a_mix_can_be_chosen() -> None:
    org = Org(Options(seed=3), now=NOW)

    events = Traffic(org, 3).burst(50, NOW, {"create": 1}, {"Contact": 1})

    types = {event.payload["ChangeEventHeader"]["changeType"] for event in events}
    assert types == {"CREATE"}
    assert {event.entity for event in events} == {"Contact"}


def test_a_split_bulk_update_is_one_event_of_all_then_one_of_each() -> None:
    org = Org(Options(seed=3), now=NOW)
    traffic = Traffic(org, 3)
    traffic.burst(40, NOW, {"create": 1}, {"Contact": 1})

    shared, *own = traffic.step(NOW, {"update_split": 1}, {"Contact": 1})

    headers = [event.payload["ChangeEventHeader"] for event in (shared, *own)]
    assert len({header["transactionKey"] for header in headers}) == 1
    assert [header["sequenceNumber"] for header in headers] == list(range(1, len(headers) + 1))
    assert "LastModifiedDate" in shared.payload
    assert not any("LastModifiedDate" in event.payload for event in own)
    apart = [header["recordIds"] for header in headers[1:]]
    assert all(len(ids) == 1 for ids in apart)
    assert {one for [one] in apart} <= set(headers[0]["recordIds"])
    assert own


def test_bulk_updates_are_split_on_request() -> None:
    with SimulatorProcess("--count", "300", "--seed", "7", "--split-updates") as org:
        headers = [event["header"] for event in org.state(events=400)["events"]]

    keys = Counter(header["transactionKey"] for header in headers)
    assert len(headers) >= 300
    assert max(keys.values()) > 2
    assert not any(len(ids) > 1 and keys[key] == 1 for ids, key in _updates(headers))


def _updates(headers: list[dict[str, Any]]) -> list[tuple[list[str], str]]:
    updates = [header for header in headers if header["changeType"] == "UPDATE"]
    return [(header["recordIds"], header["transactionKey"]) for header in updates]


@pytest.mark.parametrize(
    ("mix", "entities", "message"),
    [
        ({"explode": 1}, {"Account": 1}, "unknown 'explode'"),
        ({"create": 0}, {"Account": 1}, "above zero"),
        ({"create": 1}, {"Lead": 1}, "unknown 'Lead'"),
    ],
)
def test_a_wrong_mix_is_refused(
    mix: dict[str, float], entities: dict[str, float], message: str
) -> None:
    with pytest.raises(UnknownMixError, match=message):
        Traffic(Org(Options(), now=NOW), 1).burst(1, NOW, mix, entities)


def test_nothing_selected_is_refused() -> None:
    org = Org(Options(), now=NOW)
    org.catalogue.get("Account").selected = False

    with pytest.raises(UnknownMixError, match="selected"):
        Traffic(org, 1).burst(1, NOW, entities={"Account": 1})


def test_it_follows_what_others_do_to_the_records() -> None:
    org = Org(Options(seed=3), now=NOW)
    traffic = Traffic(org, 3)
    traffic.burst(50, NOW, {"create": 1})
    for entity, records in org.store.live.items():
        org.commit([Delete(entity, tuple(records))], now=NOW)

    events = traffic.burst(50, NOW)

    assert len(events) == 50


def test_a_count_without_a_rate_comes_at_once() -> None:
    with SimulatorProcess("--count", "40", "--seed", "1") as org:
        assert org.state(events=0)["events_published"] == 40


def test_a_rate_with_a_count_stops_there_and_serves_on() -> None:
    with SimulatorProcess("--rate", "400", "--count", "60") as org:
        state = org.wait_for(lambda state: not state["traffic"]["running"])

        assert state["events_published"] == 60


def test_traffic_that_can_tell_nothing_says_so(org: SimulatorProcess) -> None:
    for entity in ("Account", "Contact", "Opportunity", "Employee__c"):
        org.entity(entity, selected=False)

    org.traffic(rate=100)

    state = org.wait_for(lambda state: not state["traffic"]["running"])
    assert "selected" in state["traffic"]["problem"]


def test_traffic_can_be_started_and_stopped(org: SimulatorProcess) -> None:
    started = org.traffic(rate=100)
    stopped = org.traffic(rate=0)

    assert (started, stopped) == ({"running": True}, {"running": False})


def test_every_generated_field_is_described() -> None:
    org = Org(Options(seed=3), now=NOW)

    events = Traffic(org, 3, SPLIT_MIX).burst(500, NOW)

    for event in events:
        described = field_names(org.catalogue.get(event.entity))
        assert event.payload.keys() - {"ChangeEventHeader"} <= {*described}
