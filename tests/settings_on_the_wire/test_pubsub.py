"""The settings of a listener over the Pub/Sub API: its endpoint, its first position, and a managed
subscription."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from consumer.diagnostics import channel_check
from listeners.connections.create_stream import stream_for
from listeners.connections.token_sources import token_source
from listeners.models import Listener
from tests.listeners.salesforce.pubsub.scripted import Call, Refusal, ScriptedPubSub
from tests.servers import wait_for
from tests.settings_on_the_wire.counting_proxy import CountingProxy
from tests.settings_on_the_wire.orgs import paths
from tests.settings_on_the_wire.secure import SecureOrg
from tests.settings_on_the_wire.stored import failures, findings, listening, stored
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.anywhere

LATEST, EARLIEST, CUSTOM = 0, 1, 2


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a check wait for a refusal that comes late on a busy machine."""
    monkeypatch.setattr(channel_check, "REFUSAL_SECONDS", 60.0)


def pubsub(org: SimulatorProcess, **fields: Any) -> Listener:
    endpoint = {"pubsub_endpoint": org.grpc_endpoint}
    return listening(stored(org), transport="pubsub", **{**endpoint, **fields})


def subscribe(org: SimulatorProcess, listener: Listener) -> tuple[str, dict[str, Any]]:
    """Open the listener's stream as the receiver does; return the method and the first request."""
    stream = stream_for(listener, token_source(listener.connection, listener.api_version))
    try:
        stream.open(listener.first_replay)
        opened = wait_for(lambda: until_subscribed(org), what="the first request")
    finally:
        stream.close()
    assert [call["method"] for call in opened[:-1]] == ["GetTopic"]
    return opened[-1]["method"], opened[-1]["requests"][0]


def until_subscribed(org: SimulatorProcess) -> list[dict[str, Any]]:
    """Return the calls, or nothing while the subscription's first request has not come: the server
    accepts the call before that, and the stream may be open even earlier."""
    calls = org.pubsub_calls()
    return calls if calls[-1]["method"] != "GetTopic" and calls[-1]["requests"] else []


def test_the_transport_pubsub_is_grpc_at_the_endpoint(org: SimulatorProcess) -> None:
    method, first = subscribe(org, pubsub(org, channel="AccountChangeEvent"))

    assert (method, first["topic_name"]) == ("Subscribe", "/data/AccountChangeEvent")
    assert not any(path.startswith("/cometd/") for path in paths(org))
    [topic, _] = org.pubsub_calls()
    assert topic["metadata"]["instanceurl"] == org.url
    assert topic["metadata"]["tenantid"] == org.credentials["org_id"]


@pytest.mark.parametrize(
    ("replay_from", "preset"), [("tip", LATEST), ("earliest", EARLIEST), ("number", CUSTOM)]
)
def test_it_begins_where_replay_from_says(
    org: SimulatorProcess, replay_from: str, preset: int
) -> None:
    org.create("Account", Name="so that there is one")
    newest = org.state(records=0)["newest_replay_id"]
    replay_from = str(newest) if replay_from == "number" else replay_from

    _, first = subscribe(org, pubsub(org, replay_from=replay_from))

    named = newest.to_bytes(8).hex() + "0000" if preset == CUSTOM else ""
    assert (first["replay_preset"], first["replay_id"]) == (preset, named)


def test_a_managed_subscription_is_named_and_says_itself_where_it_begins(
    org: SimulatorProcess,
) -> None:
    org.managed_subscription("Crm_Sync", "/data/ChangeEvents")

    method, first = subscribe(org, pubsub(org, managed_subscription="Crm_Sync"))

    assert (method, first["developer_name"]) == ("ManagedSubscribe", "Crm_Sync")


def test_a_check_tries_the_topic_and_says_where(org: SimulatorProcess) -> None:
    listener = pubsub(org, name="crm")

    *_, last = findings(listener.connection, listener)

    assert last.text == f"listener crm: topic /data/ChangeEvents at {org.grpc_endpoint}: permitted"


@pytest.mark.usefixtures("patient")
def test_a_check_sees_a_refusal_that_comes_a_moment_later(org: SimulatorProcess) -> None:
    def script(call: Call) -> Iterator[Any]:
        call.context.send_initial_metadata(())
        if not call.ended.wait(0.3):
            call.refuse(Refusal(grpc.StatusCode.PERMISSION_DENIED))
        yield from ()

    with ScriptedPubSub(script) as server:
        listener = pubsub(org, pubsub_endpoint=server.endpoint)
        [text] = failures(listener.connection, listener)

    assert "Subscribe refused" in text


def test_a_check_says_what_to_look_at_when_the_topic_is_refused(org: SimulatorProcess) -> None:
    listener = pubsub(org, channel="/data/Unknown__chn")

    [text] = failures(listener.connection, listener)

    assert "topic.not.found" in text
    assert "selected in Setup under Change Data Capture" in text
    assert "managed" not in text


@pytest.mark.usefixtures("patient")
def test_a_check_of_a_managed_subscription_says_what_is_wrong_with_it(
    org: SimulatorProcess,
) -> None:
    listener = pubsub(org, managed_subscription="Not_There")

    [text] = failures(listener.connection, listener)

    assert "developer.name.not.found" in text
    assert "this channel as its topic" in text


@pytest.mark.usefixtures("patient")
def test_a_managed_subscription_that_is_in_use_is_no_failure(org: SimulatorProcess) -> None:
    org.managed_subscription("Busy", "/data/ChangeEvents")
    listener = pubsub(org, managed_subscription="Busy")
    running = stream_for(listener, token_source(listener.connection))
    running.open("-1")
    try:
        *_, last = findings(listener.connection, listener)
    finally:
        running.close()

    assert not last.is_failure
    assert "managed subscription Busy: in use" in last.text


def test_settings_of_the_other_transport_are_warned_of(org: SimulatorProcess) -> None:
    listener = listening(stored(org), managed_subscription="Crm", replay_from="4711")

    said = [found.text for found in findings(listener.connection, listener)]

    note = f"note: listener {listener.name}:"
    assert f"{note} managed_subscription does nothing with cometd" in said

    listener.transport = "pubsub"
    said = [found.text for found in findings(listener.connection, listener)]
    assert any(text.startswith(f"{note} replay_from does nothing with managed") for text in said)


def test_the_connections_certificates_and_proxy_are_those_of_the_stream(
    secure: SecureOrg, proxy: CountingProxy
) -> None:
    connection = stored(
        secure,
        client_config={"tls": secure.tls},
        proxy_host=proxy.host,
        proxy_port=proxy.port,
    )
    endpoint = secure.org.grpc_endpoint
    listener = listening(connection, transport="pubsub", pubsub_endpoint=endpoint)

    assert failures(connection, listener) == []

    assert endpoint in [passed.target for passed in proxy.passed if passed.method == "CONNECT"]
    assert {call["peer"].partition(":")[2] for call in secure.org.pubsub_calls()} <= proxy.outgoing
