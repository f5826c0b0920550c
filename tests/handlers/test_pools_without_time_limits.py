"""In a pool that enforces no time limits, a run keeps its claim and its transaction as it lasts."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from celery import bootsteps
from celery.concurrency import get_implementation
from celery.concurrency.base import BasePool
from celery.concurrency.prefork import TaskPool
from celery.concurrency.solo import TaskPool as SoloPool
from celery.concurrency.thread import TaskPool as ThreadPool
from django.db import connection
from django.db.backends.signals import connection_created
from django.utils import timezone

from cdcproject.celery import limit_database_sessions
from consumer import relay
from handlers.worker import time_limit, worker_registry
from handlers.worker.claim import claim, renew
from handlers.worker.time_limit import GRACE, deadline
from tests.handlers.bundling import deliver
from tests.handlers.leaving import on_postgresql

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


class EnforcingPool(TaskPool):  # type: ignore[misc]
    """A pool of the user's own."""


class OtherPool(BasePool):  # type: ignore[misc]
    pass


@pytest.fixture(autouse=True)
def pools(monkeypatch):
    monkeypatch.setattr(time_limit, "_is_enforced", True)
    connection.close()
    yield
    connection_created.disconnect(dispatch_uid="limit_sessions")
    connection.close()


def pool(kind):
    return kind.__new__(kind)


def is_capped():
    now = timezone.now()
    return deadline(now - timedelta(days=1), now) < now


def warnings(caplog):
    found = [record.msg for record in caplog.records if record.name == time_limit.__name__]
    return [(line["event"], line["pool"]) for line in found]


@pytest.mark.parametrize("kind", [SoloPool, ThreadPool, OtherPool])
def test_a_run_without_a_time_limit_is_renewed_as_long_as_it_lasts(listener, settings, kind):
    [begun] = claim(deliver(listener, "tests.remember", 1))
    time_limit.follow(pool(kind))
    much_later = begun.started_at + timedelta(seconds=10 * settings.CDC_RUN_SECONDS) + GRACE

    assert renew({begun}, much_later) == 1

    assert relay.reclaim(much_later + timedelta(seconds=settings.CDC_CLAIM_SECONDS - 1)) == 0
    assert relay.reclaim(much_later + timedelta(seconds=settings.CDC_CLAIM_SECONDS + 1)) == 1


@pytest.mark.parametrize("kind", [TaskPool, EnforcingPool])
def test_pools_of_processes_keep_their_limits(kind, caplog):
    time_limit.follow(pool(kind))

    assert is_capped()
    assert warnings(caplog) == []


def test_the_worker_warns_once_that_its_pool_has_no_time_limits(caplog):
    for _ in range(2):
        time_limit.follow(pool(ThreadPool))

    [(event, name)] = warnings(caplog)
    assert "no time limits" in event
    assert name == "thread"


def test_celerys_pools_are_where_they_are_looked_for():
    assert get_implementation("prefork").__module__ in time_limit._ENFORCING
    assert get_implementation("threads").__module__ not in time_limit._ENFORCING
    assert "celery.concurrency.gevent" in time_limit._ENFORCING  # it ends a greenlet that waits


def test_the_worker_follows_its_pool_when_it_starts(monkeypatch):
    seen = []
    monkeypatch.setattr(time_limit, "follow", seen.append)
    monkeypatch.setattr(worker_registry.Beats, "begin", lambda _: None)
    consumer = SimpleNamespace(
        pool=pool(ThreadPool), hostname="celery@here", controller=None,
        app=SimpleNamespace(amqp=SimpleNamespace(queues=None)),
        timer=SimpleNamespace(call_repeatedly=lambda *_: None),
    )  # fmt: skip
    step = worker_registry.Presence.__new__(worker_registry.Presence)
    bootsteps.StartStopStep.__init__(step, consumer)
    step._started_at = timezone.now()

    step.start(consumer)

    assert seen == [consumer.pool]


@on_postgresql
def test_a_transaction_may_idle_as_long_as_its_run_lasts(settings):
    settings.CDC_RUN_SECONDS = 300
    limit_database_sessions()
    assert shown() == "330s"

    time_limit.follow(pool(SoloPool))

    assert shown() == "0"


def shown():
    with connection.cursor() as cursor:
        return cursor.execute("SHOW idle_in_transaction_session_timeout").fetchone()[0]
