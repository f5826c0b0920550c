"""Replay ids increase, and positions are refused when their events have aged out."""

import itertools

import pytest

from simulator.org.events import EventLog, StoredEvent
from tests.simulator.process import SimulatorProcess
from tests.simulator.wire_client import ALL, WireClient

pytestmark = pytest.mark.anywhere


def event_log(retention_events: int = 100) -> EventLog:
    return EventLog(
        newest_id=1000,
        steps=itertools.cycle([1, 7, 30]),
        retention_ms=72 * 3_600_000,
        retention_events=retention_events,
    )


def append(log: EventLog, at: int = 0) -> int:
    event = StoredEvent(log.next_id(), at, "Account", "schema", "uuid", {})
    log.append(event)
    return event.replay_id


def replayed(log: EventLog, replay_id: int) -> list[int]:
    return [event.replay_id for event in log.after(replay_id)]


def test_replay_ids_increase_with_gaps() -> None:
    log = event_log()

    assert [append(log) for _ in range(4)] == [1001, 1008, 1038, 1039]


def test_only_retained_ids_are_known() -> None:
    log = event_log()
    first, second = append(log), append(log)

    assert log.knows(first)
    assert replayed(log, first) == [second]
    assert not log.knows(first + 1)
    assert not log.knows(999)


def test_the_oldest_go_when_there_are_too_many() -> None:
    log = event_log(retention_events=2)
    ids = [append(log) for _ in range(5)]

    assert [event.replay_id for event in log.retained()] == ids[3:]
    assert log.knows(ids[2])
    assert not log.knows(ids[1])


def test_the_oldest_go_with_age() -> None:
    log = event_log()
    old, young = append(log, at=0), append(log, at=10_000)

    log.expire(now=72 * 3_600_000 + 5_000)

    assert [event.replay_id for event in log.retained()] == [young]
    assert log.knows(old)


def test_nothing_is_known_when_even_the_newest_id_is_forgotten() -> None:
    log = event_log()
    append(log)
    newest = append(log)

    log.lose_all()
    still_known = log.knows(newest)
    log.lose_all(forget=True)

    assert still_known
    assert not log.knows(newest)


@pytest.mark.parametrize("by", ["age", "fault"])
def test_a_position_behind_the_retention_is_refused(
    org: SimulatorProcess, client: WireClient, by: str
) -> None:
    org.burst(5)
    ids = [event["replay_id"] for event in org.state()["events"]]

    if by == "age":
        org.advance(73 * 3600)
    else:
        org.fault("age_out")
    client.log_in().handshake()
    client.connect()

    assert client.subscribe(ALL, ids[2])["error"] == (
        f"400::The replayId {{{ids[2]}}} you provided was invalid.  Please provide a valid ID, "
        "-2 to replay all events, or -1 to replay only new events."
    )
    assert client.subscribe(ALL, ids[-1])["successful"]


def test_a_position_replays_what_came_after_it(org: SimulatorProcess, client: WireClient) -> None:
    org.burst(12)
    ids = [event["replay_id"] for event in org.state()["events"]]

    client.start(ALL, ids[4])

    assert [data["event"]["replayId"] for data in client.receive()] == ids[5:]


def test_minus_two_replays_everything_of_the_channel(
    org: SimulatorProcess, client: WireClient
) -> None:
    org.create("Contact", Name={"LastName": "Ito"})
    [account_id] = org.create("Account", Name="Acme")

    client.start("/data/AccountChangeEvent", -2)

    [data] = client.receive()
    assert data["payload"]["ChangeEventHeader"]["recordIds"] == [account_id]


def test_an_answer_carries_so_many_events_at_most() -> None:
    with SimulatorProcess("--max-events-per-answer", "4") as org, WireClient(org) as client:
        org.burst(10)
        client.start(ALL, -2)

        sizes = [len(client.receive()) for _ in range(3)]

    assert sizes == [4, 4, 2]


def test_the_given_number_of_events_is_retained() -> None:
    with SimulatorProcess("--retention-events", "3") as org:
        org.burst(10)

        state = org.state()

    assert (state["event_count"], state["events_published"]) == (3, 10)
