"""Workers of a destination are asked which tasks and queues they have."""

import os
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from handlers.external.apps import workers_app
from handlers.external.inspection import RunningWorker, Survey, survey, workers_of
from handlers.models import Destination
from tests.line import Line
from tests.remote_worker import remote_worker
from tests.servers import free_port, wait_for

pytestmark = pytest.mark.anywhere

PROJECT = """
from celery import Celery
app = Celery("shop", broker={url!r})
app.conf.task_default_queue = "crm"

@app.task(name="shop.tasks.sync_account", rate_limit="10/s")
def sync_account(event):
    pass
"""


@contextmanager
def shop_worker(folder, url):
    """A worker of another project."""
    (folder / "shop.py").write_text(PROJECT.format(url=url))
    command = [sys.executable, "-m", "celery", "-A", "shop", "worker", "-P", "solo", "-n", "a@shop"]
    names = ("PATH", "HOME", "LANG")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield
        finally:
            process.kill()


def test_workers_name_their_tasks_queues_and_version(shop, shop_broker, tmp_path):
    with shop_worker(tmp_path, shop_broker.url):
        # It may begin to listen between the questions.
        [worker] = wait_for(
            lambda: [one for one in survey(shop).workers if one.queues and one.tasks]
        )
        app = workers_app(shop)
        [shown] = wait_for(
            lambda: [one for one in workers_of(app, with_versions=True) if one.version]
        )

    assert (worker.name, worker.queues) == ("a@shop", ("crm",))
    assert "shop.tasks.sync_account" in worker.tasks
    assert shown.version[0].isdigit()


def test_a_broker_without_workers_has_none(shop, patient_surveys):
    found = survey(shop)

    assert (list(found.workers), found.problem) == ([], "")
    assert found.check("shop.sync", "").text.endswith("no worker answered.")


def test_a_broker_that_is_down_is_no_proof(db, patient_surveys):
    shop = Destination(pk=1, name="shop", broker=f"redis://127.0.0.1:{free_port()}/0")

    check = survey(shop).check("shop.sync", "")

    assert not check.is_unknown
    assert "could not be checked: Destination shop: the broker" in check.text


def test_a_broker_that_does_not_answer_is_given_up(shop, shop_broker, monkeypatch):
    started, start = [], threading.Thread.start

    def note(thread):
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", note)

    def waiting():
        return [thread for thread in started if thread.name == "survey"]

    with Line(shop_broker.port) as line:
        line.freeze()
        shop.broker = f"redis://127.0.0.1:{line.port}/0"
        check = survey(shop).check("shop.sync", "")
        wait_for(lambda: len(waiting()) == 3)

    # None keeps the process from exiting; Python waits for the threads of pools.
    assert all(thread.daemon for thread in waiting())
    assert not [thread for thread in started if "Pool" in thread.name]
    assert check.text.endswith("the broker did not answer in time.")


def worker(name, tasks=None, queues=("celery",)):
    return RunningWorker(name, None if tasks is None else frozenset(tasks), queues)


@pytest.mark.parametrize(
    ("workers", "is_unknown", "said"),
    [
        ([worker("a", ["shop.sync"])], False, ""),
        ([worker("a", ["shop.sync"], queues=None)], False, ""),
        ([worker("a", ["shop.sync"]), worker("b", queues=("other",))], False, ""),
        ([worker("a", ["shop.sync"], ("crm", "mail"))], False, "These answered: a (crm, mail)."),
        ([worker("a", None)], False, "no worker answered which tasks it has"),
        (
            [worker("a", ["shop.sync"]), worker("b", ["shop.log"])],
            False,
            "Not every worker of the queue celery has registered the task shop.sync, and one that "
            "has not discards it: b.",
        ),
        (
            [worker("a", ["shop.syncs", "celery.chord"]), worker("b", ["shop.sink"])],
            True,
            "No worker of the queue celery has registered the task shop.sync. Did you mean "
            "shop.syncs or shop.sink? Asked: a, b.",
        ),
        ([worker("a", ["other.thing", "celery.chord"])], True, "Registered: other.thing. Asked"),
        ([worker("a", [])], True, "They have registered no task."),
    ],
)
def test_a_task_is_looked_for_among_the_workers_of_its_queue(workers, is_unknown, said):
    check = Survey(workers).check("shop.sync", "")

    assert (check.is_unknown, said in check.text) == (is_unknown, True)
    assert bool(check.text) == bool(said)


def test_pickled_answers_are_not_read(shop, shop_broker, patient_surveys):
    with remote_worker(shop_broker.url, "shop.sync", serializer="pickle"):
        found = survey(shop)

    assert (list(found.workers), found.problem) == ([], "")


@pytest.mark.parametrize(("size", "is_read"), [(10, True), (1_500_000, False)])
def test_compressed_answers_are_read_up_to_a_limit(shop, shop_broker, size, is_read):
    with remote_worker(shop_broker.url, "x" * size, compression="bzip2"):
        app = workers_app(shop)
        # A worker that is busy may answer late.
        [worker] = wait_for(
            lambda: [
                one
                for one in workers_of(app, 5)
                if one.queues and (one.tasks is not None or not is_read)
            ]
        )

    assert (worker.tasks is not None) == is_read
    assert worker.queues == ("celery",)


def test_answers_of_strangers_are_not_trusted(shop, shop_broker, monkeypatch):
    answers = [
        {"a": ["x" * 300, 5, "shop.sync [rate_limit=10/s]", "two\nlines"], "b\n": [], 7: []},
        {"c": {"error": "no such command"}},
        "text",
    ]
    app = workers_app(shop)
    monkeypatch.setattr(app.control, "broadcast", lambda *_, **__: answers)

    found = workers_of(app, with_versions=True)

    assert found == [
        RunningWorker("a", frozenset({"shop.sync"}), ()),
        RunningWorker("c", None, None),
    ]
