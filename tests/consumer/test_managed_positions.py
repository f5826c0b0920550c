"""A managed session that does not begin after what was recorded is a lost position."""

import threading
from contextlib import contextmanager
from datetime import timedelta

import grpc
import pytest
from django.db import OperationalError
from django.utils import timezone

from audit.models import AuditLogEntry, Incident, Reconciliation
from consumer.reconciliation import job as reconciliation_job
from consumer.reconciliation import schedule
from consumer.stream.buffer import Buffer
from consumer.stream.commit_mark import CommitMark
from consumer.stream.publisher import Publisher
from consumer.stream.receiver import Receiver
from consumer.stream.recorder import Recorder
from listeners.connections.open_stream import stream_for
from listeners.leases import Lease
from listeners.models import Position
from listeners.salesforce.errors import PositionDeleted, Reaction
from listeners.salesforce.pubsub.wire import pubsub_api_pb2 as wire
from tests.listeners.salesforce.pubsub.scripted import Refusal, ScriptedPubSub, idle, playing
from tests.listeners.salesforce.pubsub.scripted_events import replay_id, shown
from tests.listeners.salesforce.pubsub.streams import NumberedTokens
from tests.sample_data import lease_of, listener_of, make_listener
from tests.servers import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

MANAGED = "managed.subscription."
STOPPED = Refusal(grpc.StatusCode.FAILED_PRECONDITION, MANAGED + "config.stopped")
IN_USE = Refusal(grpc.StatusCode.ALREADY_EXISTS, MANAGED + "already.active")


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
    receiver.start()
    recorder.start()
    try:
        yield receiver
    finally:
        receiver.stop()
        wait_for(lambda: not receiver.is_alive())
        buffer.close()
        wait_for(lambda: not recorder.is_alive())
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


def recorded() -> list[str]:
    entries = AuditLogEntry.objects.order_by("id")
    return list(entries.values_list("changed_data__Name", flat=True))


# An org that stops or deletes the subscription


@pytest.mark.parametrize("state", ["stopped", "deleted"])
def test_what_is_changed_while_the_subscription_does_not_exist_is_compared(
    org, run, broker, settings, state
):
    settings.CDC_LONG_BACKOFF = (0.1, 0.2)
    name = f"Off_{state}"
    org.managed_subscription(name, "/data/ChangeEvents")
    listener_of(
        org,
        transport="pubsub",
        pubsub_endpoint=org.grpc_endpoint,
        managed_subscription=name,
    )
    first = run()
    wait_for(Position.objects.filter(subscription=name).exists, what="an accepted commit")
    org.create("Account", Name="before")
    wait_for(lambda: recorded() == ["before"])

    org.managed_subscription(name, state=state)
    wait_for(Position.objects.filter(subscription="").exists, what="the deletion to be noted")
    org.create("Account", Name="lost")
    lost_at = timezone.now()
    org.managed_subscription(name, state="running")
    if state == "deleted":
        assert first.wait() == 3  # an operator starts it again
        run()

    wait_for(lost, what="the incident")
    org.create("Account", Name="after")
    wait_for(lambda: recorded() == ["before", "after"])
    [incident] = lost()
    assert f"the managed subscription {name} begins" in incident.summary
    assert incident.window_start < lost_at < incident.window_end
    job = Reconciliation.objects.get()
    assert (job.reason, job.incident) == ("replay_lost", incident)
    wait_for(lambda: schedule.is_ready(job, timezone.now()), what="the stream to catch up")
    reconciliation_job.run(job.pk)
    assert sorted(recorded()) == ["after", "before", "lost"]


# Where the mark is set and cleared


def test_an_accepted_commit_is_known_to_the_next_process(transactional_db):
    def committing(number):
        def script(call):
            yield keep_alive(number)
            yield commit_answer(call)
            call.until_hung_up()

        return script

    with ScriptedPubSub(committing(1), committing(2)) as server:
        listener = managed(server)
        for number in (1, 2):
            with running(listener) as receiver:
                mark = receiver.session.mark
                wait_for(Position.objects.filter(replay_id=shown(number)).exists)
                wait_for(lambda one=mark: one.sync() or stands(listener).subscription == "Crm")

    assert not lost()


def test_what_was_recorded_and_never_committed_is_a_lost_position(transactional_db):
    """The process dies before Salesforce accepts a first commit."""
    with ScriptedPubSub(playing(keep_alive(1)), playing(keep_alive(3))) as server:
        listener = managed(server)
        with running(listener):
            wait_for(Position.objects.filter(replay_id=shown(1)).exists)
        assert not lost()

        with running(listener):
            wait_for(Position.objects.filter(replay_id=shown(3)).exists)

    [incident] = lost()
    assert "has not accepted it" in incident.remedy


def test_a_salesforce_that_refuses_each_commit_is_noticed(transactional_db, settings):
    settings.CDC_RECONNECT_CAP_SECONDS = 0.1

    def refusing(call):
        yield keep_alive(1)
        yield commit_answer(call, error=wire.Error(code=wire.ErrorCode.COMMIT, msg="no"))
        call.until_hung_up()

    with ScriptedPubSub(refusing, playing(keep_alive(5))) as server, running(managed(server)):
        wait_for(lost, what="the incident")

    [incident] = lost()
    assert incident.window_start < incident.window_end


@pytest.mark.parametrize("policy", ["earliest", "stop"])
def test_a_new_listener_that_is_restarted_before_its_first_message_has_lost_nothing(
    transactional_db, policy
):
    with ScriptedPubSub(idle) as server:
        listener = managed(server, on_replay_lost=policy)
        for _ in range(2):
            with running(listener) as receiver:
                wait_for(lambda one=receiver: one.opened_at)
                assert receiver.status.state != Position.State.FAILED

    assert not lost()
    assert not stands(listener).replay_id


def test_a_refusal_after_the_opening_leaves_the_position_as_it_is(transactional_db, settings):
    settings.CDC_RECONNECT_CAP_SECONDS = 0.1
    may_begin, refused = threading.Event(), threading.Event()

    def refuse_late(call):
        call.context.send_initial_metadata(())
        assert call.request()
        if may_begin.is_set():
            yield keep_alive(9)
            call.until_hung_up()
        refused.set()
        call.refuse(IN_USE)

    with ScriptedPubSub(refuse_late) as server:
        listener = managed(server)
        lease_of(listener, "before")
        known = timezone.now() - timedelta(hours=1)
        Position.objects.update(replay_id=shown(7), last_event_at=known, holder="")
        Position.objects.update(lease_until=None)
        with running(listener):
            for _ in range(2):
                assert refused.wait(20)
                refused.clear()
            assert not lost()
            assert stands(listener).replay_id == shown(7)

            began = timezone.now()
            may_begin.set()
            wait_for(lost, what="the incident")
            wait_for(lambda: stands(listener).replay_id == shown(9))

    [incident] = lost()
    assert incident.window_start < known
    assert incident.window_end > began


def test_a_listener_that_stops_when_its_position_is_lost_opens_no_session(transactional_db):
    with ScriptedPubSub(idle) as server:
        listener = managed(server, on_replay_lost="stop")
        lease_of(listener, "before")
        Position.objects.update(replay_id=shown(7), holder="", lease_until=None)
        with running(listener) as receiver:
            wait_for(lambda: receiver.status.state == Position.State.FAILED)

        assert server.count("ManagedSubscribe") == 0
    assert "has stopped" in lost()[0].summary
    assert stands(listener).replay_id == shown(7)


class Stream:
    has_committed = True


def test_a_deletion_that_the_database_did_not_take_is_stored_later(listener, monkeypatch):
    mark = CommitMark(lease_of(listener), Stream(), "Crm")
    mark.sync()
    assert stands(listener).subscription == "Crm"

    def away(lease: Lease):
        raise OperationalError("away")

    with monkeypatch.context() as patched:
        patched.setattr(Position.objects, "held", away)
        with pytest.raises(OperationalError), mark.watched():
            raise PositionDeleted("ManagedSubscribe", "stopped", Reaction.BACK_OFF_LONG)
    assert stands(listener).subscription == "Crm"

    mark.sync()
    assert stands(listener).subscription == ""
    mark.opened()
    mark.sync()
    assert stands(listener).subscription == "Crm"


def test_without_the_lease_the_mark_stays_as_it_is(listener):
    lease = lease_of(listener)
    Position.objects.update(lease_until="2020-01-01T00:00Z", subscription="Crm")
    assert lease_of(listener, "another process")

    CommitMark(lease, Stream(), "Crm").clear()

    assert stands(listener).subscription == "Crm"
