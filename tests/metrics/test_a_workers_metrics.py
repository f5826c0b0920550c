"""A worker's /metrics contain the counts of all processes of its pool."""

import shutil
import signal
from contextlib import suppress
from pathlib import Path

import psutil
from django.utils import timezone

from cdcproject.version import __version__
from consumer import relay
from handlers.models import Delivery
from tests.handlers.bundling import deliver, publish
from tests.metrics.scraped import scrape
from tests.sample_handlers import read_journal
from tests.servers import free_port, wait_for


def ended():
    return Delivery.objects.filter(state__in=["succeeded", "skipped", "dead"]).count()


def test_attempts_and_deliveries_are_counted_however_many_processes_ran_them(processes, listener):
    """They include chains, bundles, batches and transactions, and the counts of a killed
    process."""
    port = free_port()
    worker = processes.worker(concurrency=2, CDC_WORKER_METRICS_PORT=str(port))
    ids = [
        *deliver(listener, "tests.remember", 40),
        *deliver(listener, "tests.skip", 2),
        *deliver(listener, "tests.fail", 3, max_attempts=2),
        *deliver(listener, "tests.batch", 12),
        *deliver(listener, "tests.write_group", 4),
        *deliver(listener, "tests.write_group", 1, max_attempts=1, options={"fail": True}),
        *deliver(listener, "tests.die_when_told", data=[{"Kill": True}]),
    ]
    publish(ids)

    def is_over():
        relay.publish_due(timezone.now())
        if any(line.get("at") == "begin" for line in read_journal()):
            first_run = Delivery.objects.filter(handler="tests.die_when_told", attempts=1)
            first_run.filter(state="running").update(claim_deadline=timezone.now())
        relay.reclaim(timezone.now())
        return ended() == len(ids)

    wait_for(is_over, what="the end of all of them")
    wait_for(lambda: of_all(port, len(ids)), what="what they counted")  # after the commit
    for child in psutil.Process(worker.pid).children():
        with suppress(psutil.NoSuchProcess):  # one that died before was just replaced
            child.send_signal(signal.SIGKILL)
    told = scrape(port)
    assert told.total("cdc_deliveries_handled_total") == len(ids)

    outcomes = {
        handler: told.by("outcome", "cdc_attempts_total", handler=handler)
        for handler in told.by("handler", "cdc_attempts_total")
    }
    assert outcomes == {
        "tests.remember": {"succeeded": 40},
        "tests.skip": {"skipped": 2},
        "tests.fail": {"failed": 6},
        "tests.batch": {"succeeded": 12},
        "tests.write_group": {"succeeded": 4, "failed": 1},
        "tests.die_when_told": {"succeeded": 1},  # the lost one is counted by who found out
    }
    name = listener.name
    states = told.by("state", "cdc_deliveries_handled_total", listener=name)
    assert states == {"succeeded": 57, "skipped": 2, "dead": 4}
    calls = told.total("cdc_handler_seconds_count", handler="tests.batch")
    assert calls is not None
    assert 2 <= calls <= 12
    assert told.total("cdc_handler_seconds_count", handler="tests.remember") == 40
    assert told.total("cdc_start_seconds_count", listener=name, handler="tests.fail") == 3
    assert told.total("cdc_end_to_end_seconds_count", listener=name) == len(ids)
    assert worker.terminate() == 0


def of_all(port, count):
    told = scrape(port)
    return told if told.total("cdc_deliveries_handled_total") == count else None


def test_a_solo_worker_is_counted_too_and_one_whose_port_is_taken_works_without_metrics(
    processes, listener
):
    port = free_port()
    processes.worker("--pool", "solo", CDC_WORKER_METRICS_PORT=str(port))

    publish(deliver(listener, "tests.remember", 3))

    told = wait_for(lambda: of_all(port, 3), what="what it counted")
    assert told.by("version", "cdc_build_info") == {__version__: 1}
    second = processes.worker("-n", "second@%h", CDC_WORKER_METRICS_PORT=str(port))
    assert "worker metrics not served" in second.output
    assert f"other than {port}" in second.output


def folder_of(worker):
    open_files = psutil.Process(worker.pid).open_files()
    [folder] = {Path(file.path).parent for file in open_files if file.path.endswith("/held")}
    return folder


def test_replaced_processes_leave_no_files_even_without_a_scrape(processes, listener):
    port = free_port()
    worker = processes.worker("--max-tasks-per-child", "1", CDC_WORKER_METRICS_PORT=str(port))
    ids = deliver(listener, "tests.remember", 4)

    for pk in ids:
        publish([pk])
    wait_for(lambda: ended() == len(ids), what="their handling")

    # The main process's, and one of all that had the only place in the pool.
    assert len(list(folder_of(worker).glob("counter_*.db"))) <= 2
    assert wait_for(lambda: of_all(port, len(ids)), what="what they counted")


def test_what_cannot_be_counted_is_handled_all_the_same(processes, listener):
    worker = processes.worker(CDC_WORKER_METRICS_PORT=str(free_port()))
    shutil.rmtree(folder_of(worker))

    ids = deliver(listener, "tests.remember", 3)
    publish(ids)

    wait_for(lambda: ended() == len(ids), what="their handling")
    worker.wait_for_output("metrics are not counted")
