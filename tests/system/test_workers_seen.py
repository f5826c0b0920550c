"""A worker process is shown while it runs, and disappears when it ends."""

import pytest

from handlers.models import Worker
from tests.commands.running import run
from tests.servers import wait_for

pytestmark = pytest.mark.anywhere


def test_a_worker_is_seen_with_its_queues_until_it_ends(processes):
    process = processes.worker(concurrency=2)

    wait_for(Worker.objects.exists)
    worker = Worker.objects.with_life().get()
    assert (worker.pid, worker.queues, worker.concurrency) == (
        process.pid,
        ["cdc", "special"],
        2,
    )
    assert worker.is_live
    assert run("cdc_status").lines[-1] == "Celery workers online: 1 (queues: cdc, special)"

    assert process.terminate() == 0

    # Its last statement has two seconds: on a slow machine the row stays until it is old.
    wait_for(lambda: not Worker.objects.with_life().filter(is_live=True), what="its absence")
    assert run("cdc_status").lines[-1] == "Celery workers online: 0"
