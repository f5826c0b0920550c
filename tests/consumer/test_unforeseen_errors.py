"""Errors that nobody foresaw: each part of the listener process goes on, and an incident says what
does not happen meanwhile."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from audit import internal_errors
from audit.models import AuditLogEntry, Incident
from consumer import relay
from consumer.alerts import send
from consumer.host import senders as senders_module
from consumer.host.senders import Senders
from consumer.monitoring import checks, outages
from consumer.stream import recorder as recorder_module
from consumer.stream.buffer import Buffer
from consumer.stream.publisher import Publisher
from consumer.stream.recorder import Recorder
from handlers.models import Delivery, Destination
from handlers.outbox import publish
from handlers.sdk import registry
from listeners import threads
from listeners.backoff import Backoff
from listeners.clock import database_clock
from listeners.models import Position
from tests.sample_data import change, lease_of, make_listener, make_mapping, received
from tests.servers import RedisServer, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Errors are reported and retried without delay."""
    monkeypatch.setattr(internal_errors, "_reports", internal_errors._Reports())
    monkeypatch.setattr(threads, "GRACE_SECONDS", 0.0)
    for made in list(threads.Step.instances):
        monkeypatch.setattr(made, "_backoff", Backoff(0, 0))


def opened() -> list[Incident]:
    return list(Incident.objects.opened().filter(kind="internal_error"))


@pytest.fixture
def missing_column():
    """A table lacks a column, as after a deployment in the wrong order. Calling it mends it."""
    table = AuditLogEntry._meta.db_table

    def rename(before, after):
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table} RENAME COLUMN {before} TO {after}")

    def mend():
        if is_missing:
            rename(is_missing.pop(), "received_at")

    rename("received_at", "later_name")
    is_missing = ["later_name"]
    yield mend
    mend()


def test_a_recorder_goes_on_where_it_was_when_the_database_is_mended(
    listener, monkeypatch, missing_column
):
    monkeypatch.setattr(recorder_module, "STUCK_SECONDS", 0.0)
    make_mapping(listener)
    buffer = Buffer(10)
    buffer.put(received(*(change(replay=number) for number in range(1, 4))))
    lease = lease_of(listener)
    recorder = Recorder(listener, lease, buffer, Publisher())
    recorder.thread.start()
    try:
        wait_for(opened, what="the incident")
        [incident] = opened()
        assert incident.key == "database schema"
        assert f"Changes of {listener.name} are not recorded." in incident.action
        assert recorder.thread.is_alive()
        assert recorder.thread.step.keeps_failing

        missing_column()

        wait_for(lambda: recorder.recorded == 3, what="the changes")
        wait_for(lambda: not opened(), what="the end of the incident")
    finally:
        buffer.close()
        recorder.thread.join(20)
    assert Position.objects.get().replay_id == "3"
    assert buffer.outstanding == 0


def test_a_recorder_that_says_why_it_is_stuck_opens_no_outage_besides(listener):
    now = timezone.now()
    lease_of(listener)
    Position.objects.update(
        state="receiving", unrecorded_since=now - timedelta(hours=1), last_received_at=now
    )
    failing = internal_errors.step("record x", lambda: 1 / 0, "x", backoff=Backoff(0, 0))
    failing()

    checks.watch(now)
    assert [incident.kind for incident in Incident.objects.opened()] == ["internal_error"]

    checks.watch(now + timedelta(minutes=5))
    assert "outage" in {incident.kind for incident in Incident.objects.opened()}


def test_a_check_that_fails_for_a_listener_keeps_no_other_listener_and_no_alert_back(
    listener, monkeypatch
):
    other = make_listener()
    sent = []
    monkeypatch.setattr(send, "channels", lambda: {"email": sent.append})
    check = outages.check

    def fail_for_one(watched, now):
        if watched.listener == listener:
            raise RuntimeError
        check(watched, now)

    monkeypatch.setattr(
        checks,
        "_OF_A_LISTENER",
        tuple(fail_for_one if found is check else found for found in checks._OF_A_LISTENER),
    )
    type(listener).objects.update(created_at=timezone.now() - timedelta(days=1))
    for model in (type(listener), type(listener.connection)):
        model.objects.update(updated_at=timezone.now() - timedelta(days=1))

    checks.run_round()
    checks.run_round()

    assert Incident.objects.opened().filter(kind="outage", listener=other).exists()
    assert not Incident.objects.opened().filter(kind="outage", listener=listener).exists()
    [error] = opened()
    assert error.key == "check listeners"
    assert error.summary.endswith(f"for {listener.name}.")
    assert {notice.kind for notice in sent} == {"outage", "internal_error"}


@pytest.mark.parametrize("part", checks.CHECKS + checks.CHECKS_OF_SERVERS, ids=lambda p: p.name)
def test_alerts_depend_on_no_check(part, monkeypatch):
    sent = []
    monkeypatch.setattr(send, "channels", lambda: {"email": sent.append})
    monkeypatch.setattr(part, "_work", lambda now: 1 / 0)

    checks.run_round()
    checks.run_round()

    assert [notice.summary.split()[0] for notice in sent] == ["check"]


def test_a_channel_that_fails_keeps_no_other_channel_and_no_other_incident_back(monkeypatch):
    sent = []

    def fail(notice):
        raise RuntimeError

    monkeypatch.setattr(send, "channels", lambda: {"email": fail, "webhook": sent.append})
    for name in ("a", "b"):
        internal_errors.step(name, lambda: 1 / 0, "x", backoff=Backoff(0, 0))()

    with pytest.raises(ExceptionGroup):
        send.send_due(timezone.now())

    assert len(sent) == 2
    assert not Incident.objects.filter(notified_at=None).exists()


@pytest.mark.parametrize("part", [*relay.DUE, *relay.REPAIRS], ids=lambda part: part.name)
def test_a_part_of_the_relay_that_fails_keeps_no_other_back(part, monkeypatch, broker):
    ran = []
    for one in (*relay.DUE, *relay.REPAIRS):
        monkeypatch.setattr(one, "_work", lambda *_, one=one, **__: ran.append(one))
    monkeypatch.setattr(part, "_work", lambda *_, **__: 1 / 0)

    is_done = relay.run_due(timezone.now())
    relay.sweep(timezone.now())

    assert is_done == (part in relay.REPAIRS)
    assert ran == [one for one in (*relay.DUE, *relay.REPAIRS) if one is not part]
    assert [error.key for error in opened()] == [part.name]
    assert part.consequence in opened()[0].action


def test_the_thread_of_a_destination_that_is_deleted_ends(listener, broker, monkeypatch, tmp_path):
    monkeypatch.setattr(senders_module, "IDLE_SECONDS", 0.05)
    senders = Senders()
    senders.start()
    try:
        with RedisServer(tmp_path) as server:
            shop = Destination.objects.create(name="shop", broker=server.url)
            make_mapping(listener, handler="", task="shop.sync", destination=shop)
            send_one(listener, 1)
            wait_for(lambda: "send shop" not in names_of_threads(), what="the thread's end")

            send_one(listener, 2)
            wait_for(lambda: "send shop" not in names_of_threads(), what="the thread's end")
    finally:
        senders.stop()
        senders.join(20)


def send_one(listener, number):
    from consumer.ingest.transaction import ingest

    changes = received(change(replay=number, records=[f"001{number:015}"]))
    done = ingest(listener, lease_of(listener), changes, list(listener.mappings.all()))
    publish.publish(done.to_publish.ids, database_clock.now())
    wait_for(lambda: not Delivery.objects.filter(state="ready").exists(), what="the task")


def names_of_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_a_handler_module_that_is_not_imported_is_an_incident_until_it_is(monkeypatch, tmp_path):
    now = timezone.now()
    (tmp_path / "broken_handlers.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "sound_handlers.py").write_text("imported = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "import_failures", {})

    registry.discover(["broken_handlers", "sound_handlers"])
    checks.watch(now)

    [incident] = opened()
    assert incident.summary == (
        "The handler module broken_handlers cannot be imported: ModuleNotFoundError: No module "
        "named 'nothing_of_this_name'."
    )
    registry.import_failures.clear()
    checks.watch(now + timedelta(seconds=30))
    assert opened(), "another process may lack it"
    checks.watch(now + timedelta(minutes=3))
    assert not opened()
