"""A supervisor hosts listeners, run in a thread of the test."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from audit.models import AuditLogEntry, Incident
from consumer.diagnostics.connection_check import check_connection
from consumer.host import supervisor
from consumer.host.assignment import Assignment
from consumer.host.runtime import HostedListener
from consumer.host.start import Hosting
from consumer.stream import publisher, recorder
from consumer.stream.buffer import Buffer
from consumer.stream.login_guard import Logins
from consumer.stream.publisher import Publisher
from consumer.stream.receiver import Receiver
from listeners.connections.create_stream import stream_for
from listeners.models import Listener, Position
from tests.sample_data import lease_of, listener_of, make_listener, received
from tests.servers import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def is_receiving(count: int = 1) -> bool:
    return Position.objects.filter(state="receiving").count() == count


def hosting() -> Hosting:
    return Hosting("a", Logins(lambda seconds: True), Assignment("a", []), Publisher())


def without_its_secret() -> Listener:
    listener = make_listener()
    listener.connection.client_secret = "env:NOT_SET_ANYWHERE"
    listener.connection.save()
    return listener


def test_a_lease_that_expired_while_the_process_was_paused_is_kept(org, run, monkeypatch):
    # It looks at what is free before it renews again.
    monkeypatch.setattr("consumer.host.threads.RENEW_SECONDS", 2 * supervisor.REFRESH_SECONDS)
    listener = listener_of(org)
    run()
    wait_for(is_receiving)
    until = Position.objects.get().lease_until
    wait_for(lambda: Position.objects.get().lease_until > until, what="a renewal just now")

    Position.objects.update(lease_until="2020-01-01T00:00Z")

    wait_for(lambda: Position.objects.with_life().get().is_held, what="the next renewal")
    assert Position.objects.get().epoch == 1
    threads = [thread.name for thread in threading.enumerate()]
    assert threads.count(f"receive {listener.name}") == 1


def test_commits_that_the_database_lost_come_again(org, run):
    listener_of(org, replay_from="tip")
    run()
    wait_for(is_receiving)
    org.create("Account", Name="first")
    wait_for(lambda: AuditLogEntry.objects.count() == 1)
    before = Position.objects.get().replay_id
    org.create("Account", Name="lost")
    wait_for(lambda: AuditLogEntry.objects.count() == 2)

    # A standby that took over without the last commit leaves this state.
    AuditLogEntry.objects.latest("id").deliveries.all().delete()
    AuditLogEntry.objects.filter(changed_data__Name="lost").delete()
    Position.objects.update(replay_id=before)
    org.create("Account", Name="third")

    wait_for(lambda: AuditLogEntry.objects.count() == 3, what="all of them, the lost one too")
    names = [one.changed_data["Name"] for one in AuditLogEntry.objects.order_by("id")]
    assert names == ["first", "lost", "third"]


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite's connections cost nobody")
def test_quiet_listeners_keep_no_connections(org, run, settings, monkeypatch):
    settings.CDC_WATCH_SECONDS = 600.0  # so that the watch opens none
    monkeypatch.setattr(recorder, "IDLE_SECONDS", 0.1)
    monkeypatch.setattr(publisher, "IDLE_SECONDS", 0.1)
    first = listener_of(org, replay_from="tip")
    for _ in range(8):
        make_listener(connection=first.connection, replay_from="tip")
    run()
    wait_for(lambda: is_receiving(9))
    org.create("Account", Name="Acme")
    wait_for(lambda: AuditLogEntry.objects.count() == 9)

    # The test's own, the process's main one, and those of its leases, its relay and its couriers.
    wait_for(lambda: connections() <= 5, what="the connections given back")


def connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return cursor.fetchone()[0]


def test_a_listener_is_known_before_the_next_one_fails(transactional_db, org):
    good, bad = listener_of(org), without_its_secret()
    starting = hosting().start([good, bad])

    hosted = next(starting)
    try:
        assert hosted.listener == good
        assert not Position.objects.filter(state="failed").exists()
        assert list(starting) == []
        assert Position.objects.get(state="failed").listener == bad
    finally:
        hosted.drain(0)
        wait_for(hosted.is_drained)


def test_a_failed_listener_keeps_no_process_from_standing_by_for_the_others(run):
    without_its_secret()
    Position.objects.create(
        listener=make_listener(),
        holder="elsewhere",
        state="receiving",
        lease_until=timezone.now() + timedelta(hours=1),
    )

    process = run()

    wait_for(lambda: Position.objects.filter(state="failed").exists())
    wait_for(process.is_standing_by)


def test_a_listener_that_was_deleted_just_now_is_not_started(listener):
    gone = make_listener()
    Listener.objects.filter(pk=gone.pk).delete()

    assert list(hosting().start([gone])) == []


def test_a_login_refused_to_a_process_that_lost_the_listener_is_no_incident(
    transactional_db, org, settings
):
    settings.CDC_LOGIN_WAITS = ()
    listener = listener_of(org)
    listener.connection.client_secret = "that of before"
    tokens = Logins(lambda seconds: False).of(listener)
    old = lease_of(listener, "one")
    mine = Receiver(listener, old, tokens, stream_for(listener, tokens), Buffer(10))
    Position.objects.update(lease_until="2020-01-01T00:00Z")
    lease_of(listener, "two")

    mine.thread.start()

    wait_for(lambda: not mine.thread.is_alive())
    mine.stop()
    assert mine.status.state == "failed"
    assert not Incident.objects.filter(kind="configuration").exists()


def test_a_check_that_succeeds_while_the_failed_listener_drains_starts_it(
    org, run, settings, monkeypatch
):
    settings.CDC_LOGIN_WAITS = ()
    checked = threading.Event()
    is_drained = HostedListener.is_drained
    monkeypatch.setattr(
        HostedListener, "is_drained", lambda self: checked.is_set() and is_drained(self)
    )
    listener = listener_of(org)
    org.fault("refuse_login", times=1)
    run()
    wait_for(lambda: Position.objects.filter(state="failed").exists())

    findings = list(check_connection(listener.connection, [listener]))
    checked.set()

    assert not any(finding.is_failure for finding in findings), findings
    wait_for(is_receiving)


def test_what_was_received_and_forgotten_counts_as_not_recorded():
    buffer = Buffer(10)
    buffer.put(received({}, {}))
    buffer.take(1, 0)

    buffer.discard()

    assert buffer.outstanding == 2
    buffer.wait_until_recorded()
