"""Incidents for messages of unknown tasks, one for each task and queue."""

from __future__ import annotations

import math
import shlex
import threading
from collections import Counter
from datetime import datetime
from functools import partial

from django.conf import settings
from django.db import DatabaseError, transaction
from django.utils import timezone

from audit.db.retry import retry
from audit.models import Incident, Trouble
from cdcproject.conf.logging import escaped
from handlers.outbox import publish
from handlers.sdk.queues import EXTERNAL_QUEUE
from handlers.worker.worker_registry import writing_apart

KIND = Incident.Kind.UNKNOWN_TASK
#: The limit of open incidents; further tasks share one, because senders choose the task names.
MOST_OPEN = 20
OTHERS = "other tasks"


class Reporter:
    """Writes incidents in a thread, so that the database does not hold the worker up."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def report(self, task: str, queue: str) -> None:
        """Count a message; the thread writes the incident."""
        with self._lock:
            self._counts[task, queue] += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="unknown-tasks", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while counts := self._take():
            write = partial(_open_or_count_all, counts)
            retry(write, "open incidents", also=(DatabaseError,), limit=math.inf)

    def _take(self) -> Counter[tuple[str, str]]:
        """Take the counts to report; the thread ends when there are none."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
            if not counts:
                self._thread = None
        return counts


def _open_or_count_all(counts: Counter[tuple[str, str]]) -> None:
    with writing_apart(), transaction.atomic(durable=True):
        for (task, queue), count in counts.items():
            open_or_count(task, queue, count, timezone.now())


def open_or_count(task: str, queue: str, count: int, now: datetime) -> None:
    """Open an incident for a task and queue, or add to its count. Inside any transaction."""
    key = f"{task} ({queue})"[:255]
    incidents = Incident.objects.opened().filter(kind=KIND)
    if not incidents.filter(key=key).exists() and incidents.count() >= MOST_OPEN:
        key, task = "", OTHERS
    Incident.objects.report(None, trouble(key, task, queue, count), now)


def trouble(key: str, task: str, queue: str, count: int) -> Trouble:
    kept_in = settings.CDC_UNKNOWN_QUEUE
    send_on = "manage.py return_unknown_tasks"
    # A sender chose the name, and an operator copies the command into a shell.
    of_task = "--task NAME" if task == OTHERS else f"--task {shlex.quote(escaped(task))}"
    return Trouble(
        KIND,
        key,
        f"Messages of the task {task} arrived in the queue {queue or '(unknown)'}, but the workers "
        "of this project do not know that task.",
        f"If the task is another project's, let that project use its own queue, and send the "
        f"messages there: {send_on} --to QUEUE {of_task} (Celery's default queue is "
        f"{EXTERNAL_QUEUE}). If it is a handler of yours, restart the workers with "
        f"the module that defines it, and send them back: {send_on} --to {queue or 'QUEUE'} "
        f"{of_task}. To discard them: celery -A cdcproject purge -Q {kept_in}. The incident "
        f"closes when {kept_in} is empty.",
        count=count,
        action=f"The messages are kept, unchanged, in the queue {kept_in}.",
    )


def close_when_none_is_kept(now: datetime) -> int:
    """Close the incidents if their queue is empty; return how many. Never inside a transaction."""
    opened = Incident.objects.opened().filter(kind=KIND, last_seen_at__lte=now)
    ids = list(opened.values_list("pk", "last_seen_at"))
    if not ids:
        return 0
    try:
        if publish.queue_length(settings.CDC_UNKNOWN_QUEUE) != 0:
            return 0
    except publish.BrokerUnavailable:
        return 0
    note = f"The queue {settings.CDC_UNKNOWN_QUEUE} is empty."
    return sum(
        Incident.objects.filter(pk=pk, last_seen_at=seen).settle(now, note=note) for pk, seen in ids
    )
