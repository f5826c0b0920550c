"""The simulator's Pub/Sub API fails on demand: errors, stalls, lost positions, odd events."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import grpc
import pytest

from listeners.salesforce.pubsub.wire import pubsub_api_pb2 as pb
from simulator.pubsub_codes import STATUSES
from tests.samples import samples_folder
from tests.servers import PATIENCE_SECONDS
from tests.simulator.certificates import Authority
from tests.simulator.process import SimulatorProcess
from tests.simulator.pubsub_client import ALL, Ended, PubSubClient, ended, names

pytestmark = pytest.mark.anywhere


@pytest.fixture(scope="module")
def org() -> Iterator[SimulatorProcess]:
    """A simulator that soon sends keep-alives on idle streams."""
    options = ("--grpc-keep-alive", "0.1", "--grpc-idle-credits", "0.3")
    with SimulatorProcess(*options, grpc=True) as org:
        yield org


@pytest.fixture
def client(org: SimulatorProcess) -> Iterator[PubSubClient]:
    """A client with a token. Its streams end before the next test, whose faults they would use."""
    with PubSubClient(org) as client:
        yield client
    org.wait_until_no_streams()


def test_every_known_code_has_a_status(org: SimulatorProcess, client: PubSubClient) -> None:
    lines = (samples_folder().parent / "pubsub_error_codes.tsv").read_text().splitlines()[1:]
    known = {line.partition("\t")[0] for line in lines}

    for code in known:
        org.fault("grpc_status", code=code, method="GetTopic")
        with pytest.raises(Ended) as caught:
            client.topic(ALL)
        short = code.removeprefix("sfdc.platform.eventbus.grpc.")
        assert (caught.value.status, caught.value.code) == (STATUSES[short], short)
    assert len(known) == len(STATUSES)


def test_a_fault_is_for_its_method_and_topic(org: SimulatorProcess, client: PubSubClient) -> None:
    org.fault(
        "grpc_status", status="DATA_LOSS", method="Subscribe", channel="/data/ContactChangeEvent"
    )

    org.fault("grpc_stall", method="GetTopic", seconds=0.01)

    assert client.topic("/data/ContactChangeEvent").can_subscribe
    assert [fault["kind"] for fault in org.state(events=0)["faults"]] == ["grpc_status"]
    assert not client.subscribe().next().events
    assert ended(client.subscribe("/data/ContactChangeEvent")) == ("DATA_LOSS", "")
    assert not client.subscribe("/data/ContactChangeEvent").next().events


def test_a_stream_fails_after_so_many_events(org: SimulatorProcess, client: PubSubClient) -> None:
    stream = client.subscribe()
    stream.next()
    org.fault("grpc_status", code="subscription.limit.exceeded", after_events=2)
    org.create("Account", {"Name": "a"}, {"Name": "b"}, {"Name": "c"})

    events = stream.events(2)

    assert names(events, client) == ["a", "b"]
    assert ended(stream) == ("RESOURCE_EXHAUSTED", "subscription.limit.exceeded")
    again = client.subscribe(replay_preset=pb.CUSTOM, replay_id=events[-1].replay_id)
    assert names(again.events(1), client) == ["c"]


def test_a_running_stream_fails_at_once(org: SimulatorProcess, client: PubSubClient) -> None:
    stream = client.subscribe()
    stream.next()
    org.fault("grpc_status", after_events=0)

    assert ended(stream) == ("UNAVAILABLE", "")
    assert "NO_ERROR" in stream.call.details()


@pytest.mark.parametrize("how", ["revoke", "expire"])
def test_a_stream_ends_with_its_token(
    org: SimulatorProcess, client: PubSubClient, how: str
) -> None:
    stream = client.subscribe()
    stream.next()
    if how == "revoke":
        org.fault("revoke_tokens")
    else:
        org.advance(7201)

    assert ended(stream) == ("UNAUTHENTICATED", "service.auth.error")
    with pytest.raises(Ended, match=r"auth\.error"):
        client.topic(ALL)


def test_a_stream_that_asks_for_nothing_more_is_closed(
    org: SimulatorProcess, client: PubSubClient
) -> None:
    stream = client.subscribe(requested=1)
    stream.next()
    org.create("Account", Name="a")

    assert len(stream.events(1)) == 1
    assert ended(stream) == ("INTERNAL", "service.unavailable")


def test_in_a_stall_only_keep_alives_come_if_any(
    org: SimulatorProcess, client: PubSubClient
) -> None:
    stream = client.subscribe()
    before = stream.next().latest_replay_id
    org.fault("grpc_stall", seconds=60, keep_alives=True)
    org.create("Account", Name="held back")

    quiet = [stream.next() for _ in range(2)]

    assert [(list(one.events), one.latest_replay_id) for one in quiet] == [([], before)] * 2
    [line] = org.state(events=0)["pubsub"]["streams"]
    assert line["queued"] == 1


def test_a_keep_alive_passes_over_no_event_that_is_held_back(
    org: SimulatorProcess, client: PubSubClient
) -> None:
    org.create("Account", Name="held back")
    [first] = client.subscribe(requested=1, replay_preset=pb.EARLIEST).events(1)
    org.wait_until_no_streams()
    org.fault("grpc_stall", seconds=60, keep_alives=True)

    told = client.subscribe(replay_preset=pb.EARLIEST).next().latest_replay_id

    after = client.subscribe(requested=1, replay_preset=pb.CUSTOM, replay_id=told)
    assert after.events(1) == [first]


def test_a_stalled_stream_says_nothing_until_it_is_over(
    org: SimulatorProcess, client: PubSubClient
) -> None:
    stream = client.subscribe(requested=50)
    stream.next()
    org.fault("grpc_stall", seconds=60)
    org.wait_for(lambda state: not state["faults"])
    stream.send(pb.FetchRequest(num_requested=1))
    org.wait_for(lambda state: [line["credits"] for line in state["pubsub"]["streams"]] == [51])
    other = client.subscribe()
    assert not [event for _ in range(3) for event in other.next().events]
    org.create("Account", Name="late")
    org.clear_faults()

    responses = [stream.next()]
    while not responses[-1].events:
        responses.append(stream.next())
    *before_the_stall, late = responses
    assert {one.pending_num_requested for one in before_the_stall} <= {50}
    assert names(list(late.events), client) == ["late"]


def test_positions_age_out(org: SimulatorProcess, client: PubSubClient) -> None:
    org.create("Account", {"Name": "a"}, {"Name": "b"})
    [first] = client.subscribe(requested=1, replay_preset=pb.EARLIEST).events(1)
    lost = ("INVALID_ARGUMENT", "subscription.fetch.replayid.validation.failed")
    org.fault("age_out")

    newest = client.subscribe(replay_preset=pb.EARLIEST).next()

    assert not newest.events
    assert ended(client.subscribe(replay_preset=pb.CUSTOM, replay_id=first.replay_id)) == lost
    again = client.subscribe(replay_preset=pb.CUSTOM, replay_id=newest.latest_replay_id)
    assert not again.next().events


def test_an_event_can_have_any_bytes_and_any_schema_id(
    org: SimulatorProcess, client: PubSubClient
) -> None:
    stream = client.subscribe()
    stream.next()
    header = {"entityName": "Account", "changeType": "CREATE"}
    garbage = base64.b64encode(b"garbage").decode()
    org.raw(header, complete=True, avro_payload=garbage, schema_id="unknown")
    org.raw({**header, "changeType": "MERGE"}, complete=True, Name="merged")
    org.raw({"entityName": "Account"})

    own, unknown_type, headless = stream.events(3)

    assert (own.event.payload, own.event.schema_id) == (b"garbage", "unknown")
    assert client.decoded(unknown_type)["ChangeEventHeader"]["changeType"] == "MERGE"
    schema = fastavro.parse_schema(client.schema(headless.event.schema_id))
    with pytest.raises((EOFError, IndexError, ValueError)):
        fastavro.schemaless_reader(io.BytesIO(headless.event.payload), schema)


def test_an_event_can_come_twice(org: SimulatorProcess, client: PubSubClient) -> None:
    stream = client.subscribe()
    stream.next()
    [told] = org.change({"op": "overflow", "entity": "Account"})["events"]
    org.duplicate(told["replay_id"])

    first, second = stream.events(2)

    assert first == second


def test_a_field_can_be_added(org: SimulatorProcess, client: PubSubClient) -> None:
    before = client.topic("/data/OpportunityChangeEvent").schema_id
    org.entity("Opportunity", fields={"Score__c": "double"})
    after = client.topic("/data/OpportunityChangeEvent").schema_id

    fields = [[field["name"] for field in client.schema(one)["fields"]] for one in (before, after)]
    assert set(fields[1]) - set(fields[0]) == {"Score__c"}
    with pytest.raises(ValueError, match="known are"):
        org.entity("Opportunity", fields={"Other__c": "nothing"})


def test_wrong_faults_are_refused(org: SimulatorProcess) -> None:
    with pytest.raises(ValueError, match="unknown code"):
        org.fault("grpc_status", code="no.such.code")
    with pytest.raises(ValueError, match="unknown status"):
        org.fault("grpc_status", status="BROKEN")
    with pytest.raises(ValueError, match="base64"):
        org.raw({"entityName": "Account"}, avro_payload="!")


def test_after_a_restart_the_port_is_the_same(org: SimulatorProcess, client: PubSubClient) -> None:
    stream = client.subscribe()
    stream.next()
    org.restart_pubsub(seconds=0.2)

    assert ended(stream)[0] in ("UNAVAILABLE", "CANCELLED")
    assert client.topic(ALL).can_subscribe


def test_over_tls_the_certificate_is_that_of_https(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, shown = authority.issue("server"), authority.issue("client")
    tls = ("--tls-cert", str(server.cert), "--tls-key", str(server.key))
    mutual = ("--tls-client-ca", str(authority.cert))
    ca = authority.cert.read_bytes()
    with SimulatorProcess(
        *tls, *mutual, grpc=True, ca=authority.cert, client_cert=(shown.cert, shown.key)
    ) as org:
        own = grpc.ssl_channel_credentials(ca, shown.key.read_bytes(), shown.cert.read_bytes())
        with PubSubClient(org, own) as client:
            assert client.topic(ALL).can_subscribe
        request = pb.TopicRequest(topic_name=ALL).SerializeToString()
        stranger = grpc.secure_channel(org.grpc_endpoint, grpc.ssl_channel_credentials(ca))
        call: Any = stranger.unary_unary("/eventbus.v1.PubSub/GetTopic")
        with stranger, pytest.raises(grpc.RpcError, match="UNAVAILABLE"):
            call(request, timeout=PATIENCE_SECONDS)
    assert "://" not in org.grpc_endpoint
