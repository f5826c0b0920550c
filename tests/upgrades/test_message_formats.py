"""Which format the messages of a queue have: that of the oldest worker which hears it."""

import os
from datetime import timedelta

import pytest
from django.utils import timezone

from cdcproject.version import __version__
from handlers import formats
from handlers.models import Worker
from handlers.models.worker import LIVE, MessageFormat
from handlers.presence import Beats, Identity
from tests.handlers.bundling import deliver, messages, publish
from tests.servers import wait_for
from tests.upgrades import previous_version

pytestmark = pytest.mark.django_db(transaction=True)
BEGAN = timezone.now()


@pytest.fixture(autouse=True)
def _nothing_known_of_workers():
    formats.forget()
    yield
    formats.forget()


def _beat_of_before(name="celery@old", pid=1, queues=("cdc",), began=BEGAN):
    previous_version.beat(
        Worker.objects.all(), name, pid, queues=queues, concurrency=1, started_at=began
    )


def _beat(name="celery@new", pid=1, queues=("cdc",), began=BEGAN, format=formats.NEWEST):
    Worker.objects.beat(
        name, pid, queues=queues, concurrency=1, started_at=began, version="9.9",
        message_format=format,
    )  # fmt: skip


def test_a_worker_says_what_it_understands():
    beats = Beats(Identity("celery@here", os.getpid(), BEGAN, 2, lambda: ["celery"]))
    beats.begin()
    wait_for(Worker.objects.exists)
    worker = Worker.objects.get()
    beats.end()

    assert (worker.version, worker.understands) == (__version__, MessageFormat.MANY)


def test_the_oldest_worker_of_a_queue_decides():
    _beat(queues=["cdc", "special"])
    _beat_of_before(queues=["cdc", "crm"])

    assert [formats.of(queue) for queue in ("cdc", "crm", "special", "nobody's")] == [1, 1, 2, 2]


def test_one_that_is_newer_than_this_process_changes_nothing():
    _beat(format=formats.NEWEST + 1)

    assert formats.of("cdc") == formats.NEWEST


def test_one_that_has_gone_counts_no_more():
    _beat_of_before()
    Worker.objects.update(seen_at=timezone.now() - 2 * LIVE)

    assert formats.of("cdc") == formats.NEWEST


def test_one_of_before_that_takes_over_a_name_and_a_number_is_not_taken_for_newer():
    """In containers every worker has the same number, and may have the same name."""
    _beat("celery@worker", 1)
    _beat_of_before("celery@worker", 1, began=BEGAN + timedelta(minutes=1))

    worker = Worker.objects.get()
    assert worker.is_silent
    assert formats.of("cdc") == MessageFormat.ONE


def test_workers_are_looked_for_now_and_then_only(monkeypatch):
    assert formats.of("cdc") == formats.NEWEST
    _beat_of_before()

    assert formats.of("cdc") == formats.NEWEST

    monkeypatch.setattr(formats, "FRESH_SECONDS", 0)
    assert formats.of("cdc") == MessageFormat.ONE


def test_what_would_go_together_goes_one_by_one(listener, broker, journal):
    _beat_of_before()
    ids = deliver(listener, "tests.remember", 64)

    publish(ids)

    assert messages() == [[pk] for pk in ids]


def test_so_does_what_a_handler_takes_many_of(listener, broker, journal):
    _beat_of_before()
    ids = deliver(listener, "tests.batch", 5)

    publish(ids)

    assert messages() == [[pk] for pk in ids]
