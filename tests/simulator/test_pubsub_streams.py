"""Subscriptions of the Pub/Sub API: topics, positions, and no events beyond the requested
number."""

from collections.abc import Iterator
from typing import Any

import pytest

from listeners.salesforce.pubsub.wire import pubsub_api_pb2 as pb
from tests.servers import PATIENCE_SECONDS
from tests.simulator.process import SimulatorProcess
from tests.simulator.pubsub_client import ALL, Ended, PubSubClient, Stream, ended, names

pytestmark = pytest.mark.anywhere

FETCH = "subscription.fetch."


@pytest.fixture(scope="module")
def org() -> Iterator[SimulatorProcess]:
    """A simulator for the module."""
    with SimulatorProcess("--grpc-keep-alive", "0.2", "--connect-timeout", "1", grpc=True) as org:
        yield org


@pytest.fixture
def client(org: SimulatorProcess) -> Iterator[PubSubClient]:
    """A client with a token. Its streams end before the next test, which may look at its own."""
    with PubSubClient(org) as client:
        yield client
    org.wait_until_no_streams()


def started(client: PubSubClient, topic: str = ALL, requested: int = 100) -> Stream:
    """Return a stream for new events that the org has registered: its first keep-alive has
    arrived."""
    stream = client.subscribe(topic, requested)
    assert not stream.next().events
    return stream


def test_an_event_comes_with_its_schema_and_both_apis_name_it_alike(
    org: SimulatorProcess, client: PubSubClient
) -> None:
    stream = started(client, "/data/AccountChangeEvent")
    org.create("Contact", Name={"LastName": "Not here"})
    [told] = org.change({"op": "create", "entity": "Account", "fields": {"Name": "A"}})["events"]

    response = stream.next_events()

    [event] = response.events
    assert client.decoded(event)["Name"] == "A"
    assert event.replay_id == told["replay_id"].to_bytes(8, "big") + b"\0\0"
    assert event.event.id == told["event_uuid"]
    assert response.latest_replay_id == event.replay_id
    assert response.pending_num_requested == 99


def test_no_more_events_come_than_were_asked_for(
    org: SimulatorProcess, client: PubSubClient
) -> None:
    stream = started(client, requested=3)
    org.create("Account", *({"Name": f"N{number}"} for number in range(8)))

    first = stream.next_events()
    stream.send(pb.FetchRequest(num_requested=2))
    second = stream.next_events()
    stream.send(pb.FetchRequest(num_requested=20))
    rest = stream.next_events()

    answers = (first, second, rest)
    assert [len(answer.events) for answer in answers] == [3, 2, 3]
    assert [answer.pending_num_requested for answer in answers] == [0, 0, 17]
    assert names([event for answer in answers for event in answer.events], client) == [
        f"N{number}" for number in range(8)
    ]


def test_a_subscription_starts_after_its_position(
    org: SimulatorProcess, client: PubSubClient
) -> None:
    told = org.change(
        *({"op": "create", "entity": "Account", "fields": {"Name": name}} for name in "abc")
    )["events"]
    after = told[0]["replay_id"].to_bytes(8, "big")

    custom = [
        client.subscribe(replay_preset=pb.CUSTOM, replay_id=replay_id)
        for replay_id in (after + b"\0\0", after)
    ]
    earliest = client.subscribe(requested=100, replay_preset=pb.EARLIEST)

    assert [names(stream.events(2), client) for stream in custom] == [["b", "c"]] * 2
    assert earliest.events(3)[0].replay_id < told[0]["replay_id"].to_bytes(8, "big") + b"\0\0"


def test_a_keep_alive_names_a_position_that_can_be_subscribed_from(
    org: SimulatorProcess, client: PubSubClient
) -> None:
    quiet = client.subscribe("/data/Employee__ChangeEvent").next()
    assert not quiet.events
    assert quiet.pending_num_requested == 100
    org.create("Employee__c", First_Name__c="Later")

    stream = client.subscribe(replay_preset=pb.CUSTOM, replay_id=quiet.latest_replay_id)

    assert client.decoded(stream.events(1)[0])["First_Name__c"] == "Later"


@pytest.mark.parametrize(
    ("later", "code"),
    [
        ({"num_requested": 0}, "requested.events.invalid"),
        ({"num_requested": 101}, "requested.events.invalid"),
        ({"num_requested": 51}, "overflow"),
        ({"num_requested": 1, "topic_name": "/data/ContactChangeEvent"}, "topic.mismatch"),
        ({"num_requested": 1, "replay_id": bytes(10)}, "replay.repeated"),
    ],
)
def test_a_bad_later_request_ends_the_stream(
    client: PubSubClient, later: dict[str, Any], code: str
) -> None:
    stream = client.subscribe("/data/AccountChangeEvent", requested=50)
    stream.send(pb.FetchRequest(**later))

    assert ended(stream) == ("INVALID_ARGUMENT", FETCH + code)


@pytest.mark.parametrize(
    ("first", "status", "code"),
    [
        ({"topic_name": ""}, "INVALID_ARGUMENT", "topic.validation.empty"),
        ({"topic_name": "/data/NoneChangeEvent"}, "NOT_FOUND", "topic.not.found"),
        ({"topic_name": "/data/CaseChangeEvent"}, "NOT_FOUND", "topic.not.found"),
        ({"num_requested": -1}, "INVALID_ARGUMENT", FETCH + "requested.events.invalid"),
        ({"auth_refresh": "x"}, "INVALID_ARGUMENT", "service.auth.refresh.invalid"),
        ({"replay_preset": 2}, "INVALID_ARGUMENT", FETCH + "replayid.corrupted"),
        (
            {"replay_preset": 2, "replay_id": bytes(9) + b"\1"},
            "INVALID_ARGUMENT",
            FETCH + "replayid.corrupted",
        ),
        (
            {"replay_preset": 2, "replay_id": bytes(7) + b"\1\0\0"},
            "INVALID_ARGUMENT",
            FETCH + "replayid.validation.failed",
        ),
    ],
)
def test_a_bad_first_request_is_refused(
    client: PubSubClient, first: dict[str, Any], status: str, code: str
) -> None:
    request = {"topic_name": ALL, "num_requested": 1, **first}

    assert ended(client.stream().send(pb.FetchRequest(**request))) == (status, code)


@pytest.mark.parametrize(
    ("metadata", "status", "code"),
    [
        ({"accesstoken": ""}, "INVALID_ARGUMENT", "service.auth.headers.invalid"),
        ({"instanceurl": "salesforce"}, "INVALID_ARGUMENT", "service.auth.headers.invalid"),
        ({"tenantid": ""}, "INVALID_ARGUMENT", "service.auth.headers.invalid"),
        ({"accesstoken": "expired"}, "UNAUTHENTICATED", "service.auth.error"),
        ({"tenantid": "00D000000000000EAA"}, "UNAUTHENTICATED", "service.auth.error"),
    ],
)
def test_unknown_credentials_are_refused(
    client: PubSubClient, metadata: dict[str, str], status: str, code: str
) -> None:
    client.metadata |= metadata

    with pytest.raises(Ended) as caught:
        client.topic(ALL)

    assert (caught.value.status, caught.value.code) == (status, code)
    assert ended(client.subscribe()) == (status, code)


def test_a_topic_has_its_schema_and_the_permission_to_subscribe(
    org: SimulatorProcess, client: PubSubClient
) -> None:
    custom = org.channel("People__chn", "Contact")
    org.entity("Secret__c", visible=False)

    account, hidden = client.topic("/data/AccountChangeEvent"), "/data/Secret__ChangeEvent"

    assert client.schema(account.schema_id)["name"] == "AccountChangeEvent"
    assert (account.can_subscribe, account.can_publish) == (True, False)
    assert client.topic(custom).can_subscribe
    assert not client.topic(hidden).can_subscribe
    denied = ("PERMISSION_DENIED", "subscription.topic.cannot.subscribe")
    assert ended(client.subscribe(hidden)) == denied
    with pytest.raises(Ended, match=r"schema\.validation\.failed"):
        client.schema("unknown")


def test_what_is_not_of_a_subscriber_is_not_implemented(client: PubSubClient) -> None:
    with pytest.raises(Ended, match="UNIMPLEMENTED"):
        client.call("Publish", pb.TopicRequest(), pb.TopicInfo)


def test_a_message_is_smaller_than_what_clients_take(
    org: SimulatorProcess, client: PubSubClient
) -> None:
    stream = started(client)
    org.create("Account", *({"Name": n, "Description": n * 950_000} for n in "abcde"))

    assert names(stream.events(5), client) == list("abcde")


def test_a_stream_is_open_before_anything_is_asked(client: PubSubClient) -> None:
    stream = client.stream()
    stream.call.initial_metadata()

    assert stream.call.is_active()


def test_deliveries_and_calls_are_shown(org: SimulatorProcess, client: PubSubClient) -> None:
    before, used = org.state(events=0)["pubsub"]["delivered"], limit(org, client)
    stream = started(client, requested=7)
    org.create("Account", {"Name": "a"}, {"Name": "b"})
    stream.events(2)

    state = org.state(events=0)["pubsub"]
    [shown] = [line for line in state["streams"] if line["credits"] == 5]
    [call] = [call for call in org.pubsub_calls() if call["rpc_id"] == shown["rpc_id"]]

    assert state["delivered"] - before == used - limit(org, client) == 2
    assert (shown["topic"], shown["delivered"]) == (ALL, 2)
    assert call["requests"][0]["num_requested"] == 7
    assert (call["method"], call["status"]) == ("Subscribe", "")
    assert call["metadata"]["tenantid"] == org.credentials["org_id"]
    assert client.metadata["accesstoken"] not in str(call)


def limit(org: SimulatorProcess, client: PubSubClient) -> int:
    """Return how many more events are allowed today."""
    headers = {"Authorization": f"Bearer {client.metadata['accesstoken']}"}
    answer = org.http.get(
        f"{org.url}/services/data/v60.0/limits", headers=headers, timeout=PATIENCE_SECONDS
    )
    remaining: int = answer.json()["DailyDeliveredPlatformEvents"]["Remaining"]
    return remaining


def test_a_client_that_asks_for_no_more_gets_the_rest_and_the_end(
    org: SimulatorProcess, client: PubSubClient
) -> None:
    org.create("Account", {"Name": "a"}, {"Name": "b"})
    stream = client.subscribe(requested=5, replay_preset=pb.EARLIEST).send(None)

    assert len(stream.events(5)) == 5
    stream.drain()
