"""Celery's `send_task` and beat put the sender's time limits into a message, but the worker's
apply."""

import pytest

from cdcproject.celery import app
from handlers.models import Delivery
from handlers.outbox.handover import READY_AGE
from listeners.clock import database_clock
from tests.handlers.bundling import deliver
from tests.sample_handlers import read_journal
from tests.servers import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.anywhere]


def leave_behind(listener) -> int:
    """Return a committed delivery whose message was never sent."""
    [pk] = deliver(listener, "tests.remember", 1)
    long_ago = database_clock.now() - READY_AGE * 2
    Delivery.objects.update(state="ready", queued_at=None, created_at=long_ago)
    return pk


def is_handled(pk: int) -> bool:
    return Delivery.objects.filter(pk=pk, state="succeeded").exists()


def test_the_periodic_tasks_of_beat_are_run(processes, listener, tmp_path):
    pk = leave_behind(listener)
    processes.worker()

    processes.start(
        "-m", "celery", "-A", "cdcproject", "beat", "-l", "INFO", "--pidfile=",
        "-s", str(tmp_path / "schedule"),
    )  # fmt: skip

    wait_for(lambda: is_handled(pk))
    assert len(read_journal()) == 1


@pytest.mark.parametrize("limits", [(3600, 3590), (0.001, 0.001)], ids=["long", "short"])
def test_a_message_with_time_limits_is_run_within_the_workers_own(processes, listener, limits):
    pk = leave_behind(listener)
    worker = processes.worker()
    hard, soft = limits

    app.send_task(
        "tests.remember", kwargs={"delivery_ids": [pk]}, time_limit=hard, soft_time_limit=soft
    )

    wait_for(lambda: is_handled(pk))
    assert "discarded" not in worker.output
