"""Managed sessions on a scripted server, with the threads of a listener."""

from contextlib import contextmanager

import grpc

from audit.models import Incident
from consumer.stream.buffer import Buffer
from consumer.stream.publisher import Publisher
from consumer.stream.receiver import Receiver
from consumer.stream.recorder import Recorder
from listeners.connections.create_stream import stream_for
from listeners.models import Position
from listeners.salesforce.pubsub.wire import pubsub_api_pb2 as wire
from tests.listeners.salesforce.pubsub.scripted import Refusal
from tests.listeners.salesforce.pubsub.scripted_events import replay_id
from tests.listeners.salesforce.pubsub.streams import NumberedTokens
from tests.sample_data import lease_of, make_listener
from tests.servers import wait_for

IN_USE = Refusal(grpc.StatusCode.ALREADY_EXISTS, "managed.subscription.already.active")


def keep_alive(number):
    return wire.ManagedFetchResponse(latest_replay_id=replay_id(number), pending_num_requested=100)


def commit_answer(call, **said):
    """Answer the next commit."""
    while not (request := call.request()).HasField("commit_replay_id_request"):
        pass
    number = request.commit_replay_id_request.commit_request_id
    answer = wire.CommitReplayResponse(commit_request_id=number, **said)
    return wire.ManagedFetchResponse(commit_response=answer)


@contextmanager
def running(listener):
    """Run the threads of a listener, and drain them at the end as its process does."""
    lease, tokens, buffer = lease_of(listener), NumberedTokens(), Buffer(1000)
    stream = stream_for(listener, tokens)
    receiver = Receiver(listener, lease, tokens, stream, buffer)
    mark = receiver.session.mark
    recorder = Recorder(
        listener,
        lease,
        buffer,
        Publisher(),
        on_commit=stream.recorded,
        on_commits_lost=mark.clear,
    )
    receiver.thread.start()
    recorder.thread.start()
    try:
        yield receiver
    finally:
        receiver.stop()
        wait_for(lambda: not receiver.thread.is_alive())
        buffer.close()
        wait_for(lambda: not recorder.thread.is_alive())
        receiver.allow_disconnect()
        wait_for(lambda: receiver.has_disconnected)
        mark.sync()


def managed(server, **fields):
    return make_listener(
        transport="pubsub",
        pubsub_endpoint=server.endpoint,
        managed_subscription="Crm",
        channel="/data/AccountChangeEvent",
        **fields,
    )


def stands(listener) -> Position:
    return Position.objects.get(listener=listener)


def lost() -> list[Incident]:
    return list(Incident.objects.filter(kind=Incident.Kind.REPLAY_LOST))
