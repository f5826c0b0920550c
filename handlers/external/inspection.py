"""Asks the workers of a destination for their tasks, queues and versions.

Asked over Celery's remote control. A worker whose pool runs tasks in its own process answers only
between two tasks, so a missing answer proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import structlog
from celery import Celery
from kombu.exceptions import ContentDisallowed, DecodeError

from handlers.broker import BrokerUnavailable
from handlers.external.apps import errors, workers_app
from handlers.external.bounded_message import bound
from handlers.models import Destination
from handlers.sdk.registry import EXTERNAL_QUEUE
from listeners.threads import call_in_thread

log = structlog.get_logger(__name__)

#: Seconds in which workers answer, and in which a survey ends, whatever the broker does.
ANSWER_SECONDS, SURVEY_SECONDS = 1.0, 2.0
#: The errors of replies that are no JSON, or not of the form of remote control.
_UNREADABLE = (ContentDisallowed, DecodeError, AttributeError, LookupError, TypeError, ValueError)
_TASKS, _QUEUES, _REPORT = "registered", "active_queues", "report"
#: Answers with more bytes are not read.
MAX_BYTES = 1_000_000
#: Limits on what a broker's answers may contain.
_MOST_WORKERS, _MOST_NAMES, _LONGEST_NAME = 1000, 10_000, 255
_SHOWN = 5
_SILENT = "The task {} could not be checked: no worker answered which tasks it has registered."


@dataclass(frozen=True, slots=True)
class RunningWorker:
    """A worker that answered. None: it did not answer that question."""

    name: str
    tasks: frozenset[str] | None = None
    queues: tuple[str, ...] | None = None
    version: str = ""

    def reads(self, queue: str) -> bool:
        """Return whether the worker consumes the queue, or may do so."""
        return self.queues is None or queue in self.queues


@dataclass(frozen=True, slots=True)
class Survey:
    """The workers of a broker that answered, or why the broker could not be asked."""

    workers: Sequence[RunningWorker] = ()
    problem: str = ""

    def check(self, task: str, queue: str) -> TaskCheck:
        """Return what is known about a task that is sent to a queue, or to the default one."""
        queue = queue or EXTERNAL_QUEUE
        if self.problem:
            return TaskCheck(f"The task {task} could not be checked: {self.problem}")
        if not self.workers:
            return TaskCheck(f"The task {task} could not be checked: no worker answered.")
        readers = [worker for worker in self.workers if worker.reads(queue)]
        if not readers:
            return TaskCheck(
                f"No worker that answered consumes the queue {queue}. These answered: "
                f"{_listed([_with_queues(worker) for worker in self.workers])}."
            )
        informed = [worker for worker in readers if worker.tasks is not None]
        ignorant = [worker.name for worker in informed if task not in (worker.tasks or ())]
        if not ignorant:
            return TaskCheck() if informed else TaskCheck(_SILENT.format(task))
        if len(ignorant) < len(readers):
            return TaskCheck(
                f"Not every worker of the queue {queue} has registered the task {task}, and one "
                f"that has not discards it: {_listed(ignorant)}."
            )
        return TaskCheck(
            f"No worker of the queue {queue} has registered the task {task}. "
            f"{_similar(task, informed)} Asked: {_listed(ignorant)}.",
            is_unknown=True,
        )


@dataclass(frozen=True, slots=True)
class TaskCheck:
    """A problem with a task, in `text`; empty if there is none. `is_unknown` is certain: workers
    of its queue answered, and none has registered it."""

    text: str = ""
    is_unknown: bool = False


def survey(destination: Destination | None) -> Survey:
    """Ask the workers of a destination, or of other projects on our broker, for at most
    SURVEY_SECONDS. Never inside a transaction."""
    return surveys([destination])[0]


def surveys(destinations: Sequence[Destination | None]) -> list[Survey]:
    """Ask the workers of several destinations at once; otherwise as `survey`."""
    surveyed = [call_in_thread("survey", _survey, destination) for destination in destinations]
    wait(surveyed, SURVEY_SECONDS)
    late = Survey(problem="the broker did not answer in time.")
    return [future.result() if future.done() else late for future in surveyed]


def _survey(destination: Destination | None) -> Survey:
    try:
        with errors(destination):
            return Survey(workers_of(workers_app(destination)))
    except BrokerUnavailable as error:
        return Survey(problem=str(error))
    except Exception as error:
        log.exception("workers cannot be asked", destination=str(destination or ""))
        return Survey(problem=f"unexpected {type(error).__name__}; see the log.")


def workers_of(
    app: Celery, seconds: float = ANSWER_SECONDS, *, with_versions: bool = False
) -> list[RunningWorker]:
    """Return the workers that an application reaches and that answer within some seconds.

    Raises the errors of the broker. Never inside a transaction.
    """
    questions = (_TASKS, _QUEUES, _REPORT) if with_versions else (_TASKS, _QUEUES)
    answers = _asked(app, questions, seconds)
    names = sorted({name for answer in answers.values() for name in answer})[:_MOST_WORKERS]
    return [
        RunningWorker(
            name,
            _tasks(answers[_TASKS].get(name)),
            _queues(answers[_QUEUES].get(name)),
            _version(answers.get(_REPORT, {}).get(name)),
        )
        for name in names
    ]


def _asked(
    app: Celery, questions: Sequence[str], seconds: float
) -> Mapping[str, Mapping[str, Any]]:
    """Ask all questions at once, since the answers to each are awaited for the whole time.

    In daemon threads: a broker that does not answer must not keep the process from exiting.
    """

    def ask(question: str) -> Mapping[str, Any]:
        with app.connection_for_write() as connection:
            channel = connection.default_channel
            bound(channel, MAX_BYTES)
            try:
                replies = app.control.broadcast(
                    question, reply=True, timeout=seconds, connection=connection, channel=channel
                )
                return dict(_readable(replies))
            except _UNREADABLE as error:
                kind = type(error).__name__  # its text may have secrets
                log.warning("answers of workers are unreadable", question=question, error=kind)
                return {}

    asked = {question: call_in_thread("survey", ask, question) for question in questions}
    return {question: answer.result() for question, answer in asked.items()}


def _readable(replies: object) -> Iterator[tuple[str, Any]]:
    """Yield the answer of each worker; anyone who can write to the broker can write answers."""
    for reply in replies if isinstance(replies, list) else ():
        if isinstance(reply, dict):
            for name, answer in reply.items():
                if isinstance(name, str) and len(name) <= _LONGEST_NAME and name.isprintable():
                    yield name, answer


def _tasks(answer: object) -> frozenset[str] | None:
    """Return the names in `registered`, in which a task's rate limit may follow its name."""
    if not isinstance(answer, list):
        return None
    return frozenset(_named(name.partition(" [")[0] for name in answer if isinstance(name, str)))


def _queues(answer: object) -> tuple[str, ...] | None:
    if not isinstance(answer, list):
        return None
    names = [queue.get("name") for queue in answer if isinstance(queue, dict)]
    return tuple(_named(name for name in names if isinstance(name, str)))


def _named(names: Iterator[str]) -> list[str]:
    readable = [name for name in names if len(name) <= _LONGEST_NAME and name.isprintable()]
    return readable[:_MOST_NAMES]


def _version(answer: object) -> str:
    """Return Celery's version from a bug report: `software -> celery:5.7.0 (…) kombu:…`."""
    report = answer.get("ok") if isinstance(answer, dict) else None
    if not isinstance(report, str):
        return ""
    version = report[:1000].partition("celery:")[2].partition(" ")[0]
    return version if version.isascii() and len(version) < 30 else ""


def _similar(task: str, workers: Sequence[RunningWorker]) -> str:
    known = sorted(
        {
            name
            for worker in workers
            for name in worker.tasks or ()
            if not name.startswith("celery.")
        }
    )
    if near := get_close_matches(task, known, _SHOWN, 0.6):
        return f"Did you mean {' or '.join(near)}?"
    return f"Registered: {_listed(known)}." if known else "They have registered no task."


def _with_queues(worker: RunningWorker) -> str:
    return f"{worker.name} ({', '.join((worker.queues or ())[:_SHOWN]) or 'no queue'})"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else shown
