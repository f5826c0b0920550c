"""A worker's heartbeat shows that it is online, and database errors never stop it."""

import os
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.db.backends.signals import connection_created
from django.utils import timezone

from handlers.models import Worker
from handlers.worker import worker_registry
from handlers.worker.worker_registry import Beats, Identity, Presence
from tests.servers import PATIENCE_SECONDS, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def beats(monkeypatch):
    monkeypatch.setattr(worker_registry, "LEAVING_SECONDS", PATIENCE_SECONDS)
    queues = ["cdc"]
    found = Beats(Identity("celery@here", os.getpid(), timezone.now(), 2, lambda: queues))
    found.queues = queues
    yield found
    found.end()


def test_each_tick_is_a_beat_with_the_queues_of_then(beats):
    beats.begin()
    wait_for(lambda: Worker.objects.filter(queues=["cdc"]).exists())
    first = Worker.objects.get().seen_at

    beats.queues.append("crm")
    beats.tick()

    wait_for(lambda: Worker.objects.get().queues == ["cdc", "crm"])
    assert Worker.objects.get().seen_at > first


def test_a_loop_that_hangs_is_not_called_alive(beats):
    beats.begin()
    wait_for(Worker.objects.exists)
    Worker.objects.update(seen_at=timezone.now() - timedelta(minutes=1))

    assert not Worker.objects.with_life().get().is_live


def test_a_worker_that_ends_deletes_its_row(beats):
    beats.begin()
    wait_for(Worker.objects.exists)

    beats.end()

    assert not Worker.objects.exists()


def test_the_step_of_a_worker_that_stops_ends_the_heartbeat(beats):
    step = Presence(None)
    step._beats = beats
    beats.begin()
    wait_for(Worker.objects.exists)

    step.stop(None)

    assert not Worker.objects.exists()


def test_it_goes_on_when_the_database_is_back(beats):
    refusals = []

    def refuse(**_):
        if len(refusals) < 2:
            refusals.append(1)
            raise OperationalError("the database is away")

    connection_created.connect(refuse)
    try:
        beats.begin()
        wait_for(lambda: refusals)
        beats.tick()
        wait_for(lambda: len(refusals) == 2)
    finally:
        connection_created.disconnect(refuse)

    beats.tick()

    wait_for(Worker.objects.exists)


def test_an_error_that_nobody_foresaw_does_not_end_the_heartbeat(beats, monkeypatch):
    errors = [RuntimeError()]

    def fail_once(*args, **options):
        if errors:
            raise errors.pop()
        return beat(*args, **options)

    beat = Worker.objects.beat
    monkeypatch.setattr(Worker.objects, "beat", fail_once)

    beats.begin()
    wait_for(lambda: not errors, what="the error")
    beats.tick()

    wait_for(Worker.objects.exists)


def test_what_others_left_behind_goes(beats):
    now = timezone.now()
    for name, minutes in (("celery@here", 2), ("celery@there", 2), ("celery@old", 90)):
        Worker.objects.create(
            name=name, pid=1, started_at=now, seen_at=now - timedelta(minutes=minutes)
        )
    beats.begin()
    wait_for(lambda: Worker.objects.filter(pid=os.getpid()).exists())

    left = Worker.objects.exclude(pid=os.getpid())

    assert [worker.name for worker in left] == ["celery@there"]
