"""A courier ends overdue attempts when it has seen every report that arrived in time."""

import threading
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import ProtectedError
from redis import Redis

from audit.models import Incident
from consumer import relay
from consumer.host import couriers
from consumer.host.couriers import CourierReader
from consumer.monitoring import destinations
from handlers.broker import BrokerUnavailable
from handlers.external import apps
from handlers.models import Delivery, DeliveryAttempt, Destination
from handlers.outbox import publish
from handlers.tracking import consumed_reports
from handlers.tracking.courier import Courier
from handlers.tracking.overdue import destinations_to_read, end_unreported
from handlers.tracking.reports import reports_queue
from handlers.tracking.tokens import Reported, issue
from tests.brokers import AnyBroker
from tests.chaos.relay import Relay
from tests.handlers.tracking.reporting import report, say
from tests.servers import PATIENCE_SECONDS, free_port, wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.anywhere]


@pytest.fixture(autouse=True)
def looks_often(monkeypatch):
    monkeypatch.setattr(couriers, "OVERDUE_SECONDS", 0.1)


@contextmanager
def courier_of(destination):
    thread = CourierReader(destination)
    thread.start()
    try:
        yield
    finally:
        thread.stop()
        thread.thread.join(PATIENCE_SECONDS)
        assert not thread.thread.is_alive()


def outcomes() -> list[str]:
    deliveries = Delivery.objects.order_by("id")
    return [str(attempt.outcome) for one in deliveries for attempt in one.all_attempts]


def wait_for_an_overdue_report(scene, shop) -> None:
    scene.mapping(report_timeout=600)
    shop.worker()
    scene.record()
    wait_for(lambda: scene.waiting_reports() == 1)
    scene.let_the_deadline_pass()


def test_a_report_that_a_killed_courier_had_received_counts(scene, shop):
    wait_for_an_overdue_report(scene, shop)
    with Courier(scene.destination).reading() as killed:
        wait_for(killed.read)

        with courier_of(scene.destination):
            wait_for(lambda: scene.states != ["queued"])

    assert scene.states == ["succeeded"]


@pytest.mark.parametrize("shop_broker", ["valkey", "rabbitmq"], indirect=True)
def test_attempts_end_whose_reports_did_not_come(scene, monkeypatch):
    monkeypatch.setattr(consumed_reports, "HIDDEN_SECONDS", 1.0)
    scene.mapping(report_timeout=600, on_unknown="dead")
    publish.declare(apps.app_of(scene.destination), {"celery"})  # as a worker that is gone has done
    scene.record()
    scene.let_the_deadline_pass()

    with courier_of(scene.destination):
        wait_for(outcomes)

    assert outcomes() == ["unknown"]


@pytest.mark.parametrize("shop_broker", ["rabbitmq"], indirect=True)
def test_attempts_end_while_connections_keep_breaking(scene, monkeypatch):
    """RabbitMQ may keep reports of a killed courier for longer than each connection lasts."""
    scene.mapping(report_timeout=600, on_unknown="dead")
    publish.declare(apps.app_of(scene.destination), {"celery"})
    scene.record()
    scene.let_the_deadline_pass()
    apps.forget()
    url = urlsplit(scene.destination.broker.reveal())
    proxy = Relay(url.port)
    proxy.start()
    scene.destination.broker = url._replace(
        netloc=f"{url.netloc.rpartition(':')[0]}:{proxy.port}"
    ).geturl()
    scene.destination.save()
    monkeypatch.setattr(couriers, "BREAKING_SECONDS", 3.0)

    def has_ended():
        proxy.cut(0)
        time.sleep(4)
        return outcomes()

    with courier_of(scene.destination):
        wait_for(has_ended)

    proxy.stop()
    assert outcomes() == ["unknown"]


@pytest.mark.parametrize("shop_broker", ["valkey", "rabbitmq"], indirect=True)
def test_attempts_end_while_reports_keep_coming(scene, shop_broker, monkeypatch):
    """A busy queue is never found empty, and a flood of reports must not hide that some miss."""
    monkeypatch.setattr(consumed_reports, "BATCH", 1)  # each batch is full
    monkeypatch.setattr(consumed_reports, "HIDDEN_SECONDS", 1.0)
    scene.mapping(report_timeout=600, on_unknown="dead")
    publish.declare(apps.app_of(scene.destination), {"celery"})  # as a worker that is gone has done
    scene.record()
    scene.let_the_deadline_pass()
    late = report(issue(1, 99, Reported.SUCCEEDED))

    with courier_of(scene.destination):
        wait_for(lambda: say(scene, late, late) or outcomes())
        wait_for(lambda: say(scene, late, late) or scene.counted("late"))

    assert outcomes() == ["unknown"]


def test_attempts_end_at_last_if_their_destination_does_not_come_back(
    scene, monkeypatch, patient_surveys
):
    scene.mapping(report_timeout=600, on_unknown="dead")
    scene.record()
    scene.let_the_deadline_pass()
    gone = Destination.objects.get()
    gone.broker = f"redis://127.0.0.1:{free_port()}/0"
    gone.save()
    monkeypatch.setattr(couriers, "UNREADABLE_SECONDS", 1.0)

    with courier_of(gone):
        wait_for(outcomes)

    assert outcomes() == ["unknown"]
    assert "could not be checked: Destination shop: " in DeliveryAttempt.objects.get().error


def test_one_failure_does_not_end_attempts_that_are_long_overdue(scene, shop, monkeypatch):
    """Their reports wait in the queue after all listener processes were away for long."""
    wait_for_an_overdue_report(scene, shop)
    Delivery.objects.update(claim_deadline=scene.later(seconds=-2 * couriers.UNREADABLE_SECONDS))
    reads, failures = Courier.handle_batch, [BrokerUnavailable("it is starting")]

    def fail_once(courier, queue) -> bool:
        if failures:
            raise failures.pop()
        return reads(courier, queue)

    monkeypatch.setattr(Courier, "handle_batch", fail_once)

    with courier_of(scene.destination):
        wait_for(lambda: scene.states != ["queued"])

    assert outcomes() == ["succeeded"]


@pytest.mark.parametrize("shop_broker", ["rabbitmq"], indirect=True)
def test_reports_on_their_way_to_a_courier_count_as_unseen(scene, shop_broker, monkeypatch):
    monkeypatch.setattr(consumed_reports, "BATCH", 3)
    monkeypatch.setattr(consumed_reports, "FIRST_SECONDS", 60.0)
    publish.declare(apps.app_of(scene.destination), {reports_queue()})
    say(scene, *(f"[{number}]" for number in range(9)))
    wait_for(lambda: AnyBroker("rabbitmq", shop_broker.url).waiting(reports_queue()) == 9)
    read = []
    with Courier(scene.destination).reading() as queue:
        while len(read) < 9:
            assert queue.unseen_seconds() == float("inf")
            read += queue.read()
            queue.acknowledge()
        monkeypatch.setattr(consumed_reports, "FIRST_SECONDS", 0.1)
        assert queue.read() == []

        assert queue.unseen_seconds() == consumed_reports.HIDDEN_SECONDS


def test_a_courier_reads_nothing_while_its_database_is_away(scene, sent, monkeypatch):
    """Each report that is read in vain counts as returned, and quorum queues allow few returns."""
    say(scene, report(issue(sent, 1, Reported.SUCCEEDED)))
    reads, asked = [], []

    def fail(*_) -> bool:
        reads.append(1)
        raise OperationalError("the database has gone")

    def connect(wrapper) -> None:
        if threading.current_thread().name.startswith("courier"):
            asked.append(1)
            raise OperationalError("the database has gone")
        connect_really(wrapper)

    connect_really = BaseDatabaseWrapper.ensure_connection
    monkeypatch.setattr(couriers, "DATABASE_SECONDS", 0.01)
    monkeypatch.setattr(BaseDatabaseWrapper, "ensure_connection", connect)
    monkeypatch.setattr(Courier, "handle_batch", fail)

    with courier_of(scene.destination):
        wait_for(lambda: len(asked) >= 5)

    assert reads == [1]


def test_an_incident_tells_that_reports_cannot_be_read(scene, shop_broker, monkeypatch):
    scene.mapping()
    destinations.check(scene.now())
    assert not Incident.objects.exists()
    monkeypatch.setattr(couriers, "UNREAD_SECONDS", 0.0)
    with Redis.from_url(shop_broker.url) as admin:
        admin.acl_setuser(
            "cdc",
            enabled=True,
            passwords=["+secret"],
            keys=["celery*", "_kombu*", "cdc.reports"],
            channels=["*"],
            categories=["+@all"],
        )
    url = urlsplit(shop_broker.url)
    restricted = url._replace(netloc=f"cdc:secret@{url.hostname}:{url.port}").geturl()
    scene.destination.broker = restricted
    scene.destination.save()
    destinations.check(scene.now())
    assert not Incident.objects.exists(), "it can connect"

    with courier_of(scene.destination):
        wait_for(Incident.objects.exists)

    incident = Incident.objects.get()
    assert "shop: the reports of its tasks cannot be read: " in incident.summary
    assert "secret" not in incident.summary
    assert "the key cdc.reports.reader" in incident.remedy


def test_attempts_end_at_last_if_their_reports_cannot_be_read(scene, monkeypatch):
    def fail(*_) -> bool:
        raise RuntimeError("unforeseen")

    scene.mapping(report_timeout=600, on_unknown="dead")
    scene.record()
    scene.let_the_deadline_pass()
    monkeypatch.setattr(Courier, "handle_batch", fail)
    monkeypatch.setattr(couriers, "UNREADABLE_SECONDS", 1.0)

    with courier_of(scene.destination):
        wait_for(outcomes)

    assert outcomes() == ["unknown"]
    assert scene.counted("error") >= 1


def test_reports_are_missed_where_their_tasks_were_sent(scene):
    """A mapping may name another destination while its tasks are under way."""
    mapping = scene.mapping(report_timeout=600, on_unknown="dead")
    other = Destination.objects.create(name="other", broker="redis://127.0.0.1:1/0")
    scene.record()
    scene.let_the_deadline_pass()
    mapping.destination = other
    mapping.save()

    assert destinations_to_read() == [other, scene.destination]
    end_unreported(other)
    assert scene.states == ["queued"]
    end_unreported(scene.destination)
    assert scene.states == ["dead"]
    assert destinations_to_read() == [other]


def test_a_destination_stays_while_its_tasks_are_under_way(scene):
    """Their reports are read there alone, whatever their mapping names since."""
    mapping = scene.mapping()
    scene.record()
    mapping.destination = None
    mapping.save()

    assert scene.destination.users() == ["1 task under way"]
    with pytest.raises(ProtectedError):
        scene.destination.delete()

    Delivery.objects.update(state="skipped")
    assert not scene.destination.users()
    scene.destination.delete()


def test_reports_of_a_destination_that_is_gone_are_not_awaited_for_ever(scene):
    """As when it is deleted by SQL, or while a process claims deliveries for it."""
    mapping = scene.mapping(report_timeout=600, on_unknown="dead")
    scene.record()
    scene.let_the_deadline_pass()
    mapping.destination = None
    mapping.save()
    Destination.objects.all().delete()
    assert Delivery.objects.get().destination_id == scene.destination.pk

    relay.sweep(scene.now())
    end_unreported(None)

    assert scene.states == ["dead"]
