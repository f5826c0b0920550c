"""Managed event subscriptions: the org keeps the position that a client commits."""

from collections.abc import Iterator
from typing import Any

import pytest

from listeners.salesforce.pubsub.wire import pubsub_api_pb2 as pb
from tests.simulator.process import SimulatorProcess
from tests.simulator.pubsub_client import ALL, PubSubClient, Stream, ended, names

pytestmark = pytest.mark.anywhere

MANAGED = "managed.subscription."


@pytest.fixture(scope="module")
def org() -> Iterator[SimulatorProcess]:
    """A simulator for the module."""
    given = f"Param={ALL}:earliest"
    with SimulatorProcess(
        "--grpc-keep-alive", "0.2", "--managed-subscription", given, grpc=True
    ) as org:
        yield org


@pytest.fixture
def client(org: SimulatorProcess) -> Iterator[PubSubClient]:
    """A client with a token."""
    with PubSubClient(org) as client:
        yield client


def commit(stream: Stream, event: Any, request_id: str = "1", requested: int = 0) -> Any:
    """Commit an event or a replay id, and return the response."""
    replay_id = event if isinstance(event, bytes) else event.replay_id
    asked = pb.CommitReplayRequest(commit_request_id=request_id, replay_id=replay_id)
    stream.send(pb.ManagedFetchRequest(num_requested=requested, commit_replay_id_request=asked))
    while not (response := stream.next()).HasField("commit_response"):
        pass
    return response.commit_response


def left(org: SimulatorProcess, stream: Stream) -> None:
    """Close a stream, and wait until the org has noticed."""
    stream.close()
    org.wait_for(lambda state: not state["pubsub"]["streams"])


def test_a_new_stream_begins_after_what_was_committed(
    org: SimulatorProcess, client: PubSubClient
) -> None:
    subscription = org.managed_subscription("Sales", "/data/AccountChangeEvent")
    stream = client.manage(developer_name="Sales")
    assert not stream.next().events
    org.create("Account", *({"Name": name} for name in "abc"))
    events = stream.events(3)
    answer = commit(stream, events[0])
    left(org, stream)

    again = client.manage(subscription_id=subscription["subscription_id"])

    assert (answer.commit_request_id, answer.replay_id) == ("1", events[0].replay_id)
    assert answer.process_time > 0
    assert names(again.events(2), client) == ["b", "c"]
    left(org, again)


def test_without_a_commit_it_begins_as_it_is_set_up(
    org: SimulatorProcess, client: PubSubClient
) -> None:
    org.create("Account", {"Name": "x"})

    earliest = client.manage(developer_name="Param")

    assert earliest.events(1)
    answer = commit(earliest, bytes(8) + b"\0\1", requested=1)
    assert answer.error.code == pb.COMMIT
    left(org, earliest)
    again = client.manage(developer_name="Param")
    assert again.events(1)
    left(org, again)


def test_only_one_client_at_a_time(org: SimulatorProcess, client: PubSubClient) -> None:
    org.managed_subscription("Alone", ALL)
    first = client.manage(developer_name="Alone")
    first.next()

    second = client.manage(developer_name="Alone")

    assert ended(second) == ("ALREADY_EXISTS", MANAGED + "already.active")
    left(org, first)
    assert not client.manage(developer_name="Alone").next().events


@pytest.mark.parametrize("state", ["stopped", "deleted"])
def test_an_administrator_can_end_it(
    org: SimulatorProcess, client: PubSubClient, state: str
) -> None:
    name = f"To_be_{state}"
    org.managed_subscription(name, ALL)
    stream = client.manage(developer_name=name)
    stream.next()
    org.managed_subscription(name, state=state)

    assert ended(stream)[1] == MANAGED + f"config.{state}"
    assert ended(client.manage(developer_name=name))[1] == MANAGED + f"config.{state}"
    org.managed_subscription(name, state="running")
    assert not client.manage(developer_name=name).next().events


@pytest.mark.parametrize("state", ["stopped", "deleted"])
def test_its_end_deletes_what_was_committed(
    org: SimulatorProcess, client: PubSubClient, state: str
) -> None:
    name = f"Begun_again_after_{state}"
    org.managed_subscription(name, "/data/AccountChangeEvent")
    stream = client.manage(developer_name=name)
    stream.next()
    org.create("Account", {"Name": "a"}, {"Name": "b"})
    commit(stream, stream.events(2)[0])

    org.managed_subscription(name, state=state)
    line = org.managed_subscription(name, state="running")

    assert ended(stream)[1] == MANAGED + f"config.{state}"
    assert (line["committed"], line["active"]) == (None, False)
    again = client.manage(developer_name=name)
    assert not again.next().events
    org.create("Account", {"Name": "c"})
    assert names(again.events(1), client) == ["c"]
    left(org, again)


@pytest.mark.parametrize(
    ("named", "code"),
    [
        ({"developer_name": "Nobody"}, "developer.name.not.found"),
        ({"subscription_id": "18x5g0000000099AAA"}, "subscription.id.not.found"),
        ({"subscription_id": "001"}, "subscription.id.invalid"),
    ],
)
def test_an_unknown_one_is_refused(client: PubSubClient, named: dict[str, Any], code: str) -> None:
    assert ended(client.manage(**named))[1] == MANAGED + code


def test_the_last_of_several_commits_counts(org: SimulatorProcess, client: PubSubClient) -> None:
    org.managed_subscription("Many", ALL, replay="earliest")
    org.create("Account", {"Name": "1"}, {"Name": "2"}, {"Name": "3"})
    stream = client.manage(developer_name="Many")
    events = stream.events(3)
    for number, event in enumerate(events[:2]):
        asked = pb.CommitReplayRequest(commit_request_id=str(number), replay_id=event.replay_id)
        stream.send(pb.ManagedFetchRequest(commit_replay_id_request=asked))

    last = commit(stream, events[2], "last")
    while last.commit_request_id != "last":
        last = stream.next().commit_response

    [line] = [
        line
        for line in org.state(events=0)["pubsub"]["managed_subscriptions"]
        if line["name"] == "Many"
    ]
    assert line["committed"].to_bytes(8, "big") == events[2].replay_id[:8]
