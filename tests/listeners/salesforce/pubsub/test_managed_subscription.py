"""A managed subscription commits to Salesforce the position that has been recorded."""

from __future__ import annotations

import threading

import grpc
import pytest

from listeners.salesforce.errors import PositionDeleted, Reaction, StreamRefused
from listeners.salesforce.pubsub import subscription
from listeners.salesforce.pubsub.wire import pubsub_api_pb2 as wire
from tests.listeners.salesforce.pubsub.scripted import Refusal, idle, playing
from tests.listeners.salesforce.pubsub.scripted_events import event, replay_id, shown
from tests.listeners.salesforce.pubsub.streams import names_of, opened_and_polled
from tests.servers import wait_for


def events(*numbers):
    return wire.ManagedFetchResponse(
        events=[event(number) for number in numbers], latest_replay_id=replay_id(numbers[-1])
    )


def committed(request, **said):
    number = request.commit_replay_id_request.commit_request_id
    return wire.ManagedFetchResponse(
        commit_response=wire.CommitReplayResponse(commit_request_id=number, **said)
    )


def commit_of(call):
    """Return the next request that commits a replay id."""
    while not (request := call.request()).HasField("commit_replay_id_request"):
        pass
    return request


def opened(connect, server):
    stream = connect(server, managed_subscription="Managed_One")
    stream.open(shown(5))
    return stream


def test_it_is_named_and_no_position_is_given(serve, connect):
    server = serve(idle)
    opened(connect, server)
    wait_for(lambda: server.calls)

    assert server.count("ManagedSubscribe") == 1
    assert server.calls[0].request() == wire.ManagedFetchRequest(
        developer_name="Managed_One", num_requested=100
    )


def test_what_is_recorded_is_committed_without_a_poll(serve, connect):
    commits = []

    def script(call):
        yield events(1, 2)
        commits.append(request := commit_of(call))
        yield committed(request)
        yield events(3)
        call.until_hung_up()

    stream = opened(connect, serve(script))
    assert names_of(stream.poll()) == ["1", "2"]
    stream.recorded(shown(2))
    assert names_of(stream.poll()) == ["3"]  # and the answer to the commit is no message

    assert commits[0].commit_replay_id_request.replay_id == replay_id(2)


def test_the_latest_of_many_recorded_positions_is_committed(serve, connect):
    seen = []
    first, may_answer = threading.Event(), threading.Event()

    def script(call):
        call.context.send_initial_metadata(())
        seen.append(request := commit_of(call))
        first.set()
        assert may_answer.wait(20)
        yield committed(request)
        seen.append(request := commit_of(call))
        yield committed(request)
        yield events(9)
        call.until_hung_up()

    stream = opened(connect, serve(script))
    stream.recorded(shown(1))
    assert first.wait(20)
    for number in range(2, 9):
        stream.recorded(shown(number))
    may_answer.set()
    stream.poll()

    wanted = [request.commit_replay_id_request.replay_id for request in seen]
    assert wanted == [replay_id(1), replay_id(8)]


def test_a_failed_commit_restarts_the_stream(serve, connect):
    def script(call):
        yield events(1)
        error = wire.Error(code=wire.ErrorCode.COMMIT, msg="too old")
        yield committed(commit_of(call), error=error)
        call.until_hung_up()

    stream = opened(connect, serve(script))
    stream.poll()
    stream.recorded(shown(1))
    with pytest.raises(StreamRefused, match="too old") as refused:
        stream.poll()

    assert refused.value.reaction is Reaction.REHANDSHAKE
    assert not stream.is_open


def committing(call):
    yield events(1)
    yield committed(commit_of(call))
    yield events(2)
    call.until_hung_up()


def test_an_accepted_commit_is_known(serve, connect):
    stream = opened(connect, serve(committing))
    stream.poll()
    assert not stream.has_committed
    stream.recorded(shown(1))
    stream.poll()

    assert stream.has_committed
    stream.close()
    assert stream.has_committed


def test_a_new_session_has_committed_nothing_yet(serve, connect):
    stream = opened(connect, serve(committing, idle))
    stream.poll()
    stream.recorded(shown(1))
    stream.poll()
    stream.open(shown(1))

    assert not stream.has_committed


@pytest.mark.parametrize("code", ["config.stopped", "config.deleted", "developer.name.not.found"])
def test_the_end_of_the_subscription_is_known_to_delete_its_position(serve, connect, code):
    refusal = Refusal(grpc.StatusCode.FAILED_PRECONDITION, f"managed.subscription.{code}")

    def script(call):
        yield events(1)
        yield committed(commit_of(call))
        yield events(2)
        call.refuse(refusal)

    stream = opened(connect, serve(script, playing(then=refusal)))
    stream.poll()
    stream.recorded(shown(1))
    stream.poll()
    with pytest.raises(PositionDeleted):
        stream.poll()
    assert not stream.has_committed
    with pytest.raises(PositionDeleted):
        opened_and_polled(stream, shown(1))


def test_the_last_commit_goes_out_before_the_stream_is_closed(serve, connect, monkeypatch):
    monkeypatch.setattr(subscription, "_PARTING_SECONDS", 60.0)
    last = []

    def script(call):
        yield events(1)
        last.append(request := commit_of(call))
        yield committed(request)
        call.until_hung_up()

    stream = opened(connect, serve(script))
    stream.poll()
    stream.recorded(shown(1))
    stream.close()

    assert last[0].commit_replay_id_request.replay_id == replay_id(1)


def test_what_is_recorded_when_nothing_is_open_is_no_error(serve, connect):
    stream = connect(serve(idle), managed_subscription="Managed_One")
    stream.recorded(shown(1))
    stream.open("-1")
    stream.recorded("no replay id")
    assert stream.is_open
    stream.close()
    stream.recorded(shown(2))
