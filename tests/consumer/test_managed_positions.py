"""A managed session that does not begin after what was recorded is a lost position."""

import threading
from contextlib import closing
from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import AuditLogEntry, Reconciliation
from consumer.reconciliation import job as reconciliation_job
from consumer.reconciliation import schedule
from consumer.stream.buffer import Buffer
from consumer.stream.session import Session
from listeners.connections.create_stream import stream_for
from listeners.models import Position
from listeners.salesforce.pubsub.wire import pubsub_api_pb2 as wire
from tests.consumer.managed_sessions import (
    IN_USE,
    commit_answer,
    keep_alive,
    lost,
    managed,
    running,
    stands,
)
from tests.listeners.salesforce.pubsub.scripted import ScriptedPubSub, idle, playing
from tests.listeners.salesforce.pubsub.scripted_events import shown
from tests.listeners.salesforce.pubsub.streams import ORG, NumberedTokens
from tests.sample_data import lease_of, listener_of
from tests.servers import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


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


@pytest.mark.parametrize(
    "position",
    [{"replay_id": shown(7)}, {"newest_id": shown(7), "newest_batches": 1}],
    ids=["named", "first id of a custom channel"],
)
def test_a_refusal_after_the_opening_leaves_the_position_as_it_is(
    transactional_db, settings, position
):
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
        Position.objects.update(**position, last_event_at=known, holder="", lease_until=None)
        position_token = stands(listener).position_token
        with running(listener):
            for _ in range(2):
                assert refused.wait(20)
                refused.clear()
            assert not lost()
            assert stands(listener).position_token == position_token

            began = timezone.now()
            may_begin.set()
            wait_for(lost, what="the incident")
            wait_for(lambda: stands(listener).replay_id == shown(9))

    [incident] = lost()
    assert incident.window_start < known
    assert incident.window_end > began
    assert f"The position {shown(7)} cannot be resumed" in incident.summary


def test_a_loss_is_noticed_after_a_second_restart_before_the_first_message(transactional_db):
    with ScriptedPubSub(idle, playing(keep_alive(9))) as server:
        listener = managed(server)
        lease_of(listener, "before")
        held_back = {"newest_id": shown(7), "newest_batches": 1, "last_event_at": timezone.now()}
        Position.objects.update(**held_back, holder="", lease_until=None)
        with running(listener) as receiver:
            wait_for(lambda: receiver.status.state == Position.State.RECEIVING)
        assert not lost()

        with running(listener):
            wait_for(lambda: stands(listener).replay_id == shown(9))

    assert len(lost()) == 1


def test_a_loss_that_is_no_longer_found_when_the_session_is_reopened_is_not_recorded(
    transactional_db,
):
    """The first session was of another org, and broke off before its first message was read."""
    with ScriptedPubSub(playing(keep_alive(9))) as server:
        listener = managed(server)
        lease, buffer = lease_of(listener), Buffer(10)
        Position.objects.update(
            replay_id=shown(7), org_id=ORG, channel=listener.channel, subscription="Crm"
        )
        with closing(stream_for(listener, NumberedTokens())) as stream:
            session = Session(listener, lease, stream, buffer)
            session.open("00D000000000002EAA")
            stream.forget()

            session.open(ORG)
            session.poll()

    assert not lost()
    assert stands(listener).replay_id == shown(7)


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
