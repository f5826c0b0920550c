"""Check a destination: connect → ask its workers → connect to its result backend.

Nothing is declared or changed on the broker, apart from the short-lived queue for the replies of
Celery's remote control. No finding contains a secret.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from celery import Celery

from audit.action_log import Action, Actor, note
from consumer.diagnostics.findings import Finding, Step, within
from handlers.broker import BrokerUnavailable
from handlers.external import apps
from handlers.external.application import Access
from handlers.external.inspection import RunningWorker, workers_of
from handlers.models import Destination, HandlerMapping, broker_url
from handlers.sdk.registry import queue_of

#: How long the check may take; a step in progress still finishes.
LONGEST_SECONDS = 25.0
#: Seconds to wait for the workers' replies.
REPLY_SECONDS = 2.0
#: The most workers, and names of a worker, that a finding lists.
_WORKERS, _NAMES = 20, 8


def checked(
    destination: Destination, by: Actor, *, changed: tuple[str, ...] = (), is_saved: bool = True
) -> Iterator[Finding]:
    """Check the destination within a time limit, and write the check and its result to the action
    log, even if the reader leaves early. Never inside a transaction."""
    works = False
    try:
        failed = False
        for finding in within(check(destination), LONGEST_SECONDS):
            failed = failed or finding.is_failure
            yield finding
        works = not failed
    finally:
        details: dict[str, Any] = {"works": works} | ({} if is_saved else {"unsaved": True})
        details |= {"fields": [*changed]} if changed else {}
        note(by, Action.TEST, destination, details=details)


def check(destination: Destination) -> Iterator[Finding]:
    """Yield the findings. A broker that takes no connection ends the check."""
    try:
        with apps.errors(destination):
            access = apps.access(destination)
            app = apps.unsaved_app(access)
            try:
                apps.connect(app)
                yield Finding(_connected(destination, access.broker), step=Step.BROKER)
                workers = workers_of(app, REPLY_SECONDS, with_versions=True)
                yield from _workers(destination, workers)
            finally:
                apps.close(app)
    except BrokerUnavailable as unavailable:
        yield Finding(str(unavailable), is_failure=True, step=Step.BROKER)
        return
    if access.result_backend:
        yield _result_backend(access, app)


def _connected(destination: Destination, url: str) -> str:
    tls = ", certificate verified" if broker_url.uses_tls(url) else ""
    return f"broker: connected to {broker_url.without_login(url)}{tls}"


def _workers(destination: Destination, workers: Sequence[RunningWorker]) -> Iterator[Finding]:
    if not workers:
        text = (
            f"workers: none answered within {REPLY_SECONDS:g} s. Start a worker of that project; "
            "until then tasks wait in their queue."
        )
        yield Finding(text, is_failure=True, step=Step.WORKERS)
        return
    for worker in workers[:_WORKERS]:
        yield Finding(_described(worker), step=Step.WORKERS)
    if len(workers) > _WORKERS:
        yield Finding(f"note: {len(workers) - _WORKERS} more workers answered", step=Step.WORKERS)
    for queue in _queues_used(destination):
        if not any(worker.reads(queue) for worker in workers):
            text = f"workers: none that answered consumes the queue {queue}, which a mapping uses"
            yield Finding(text, is_failure=True, step=Step.WORKERS)


def _described(worker: RunningWorker) -> str:
    version = f"Celery {worker.version}; " if worker.version else ""
    queues, tasks = _listed(worker.queues, "queue"), _listed(worker.tasks, "task")
    return f"worker {worker.name}: {version}{queues}; {tasks}"


def _queues_used(destination: Destination) -> list[str]:
    mappings = HandlerMapping.objects.filter(destination_id=destination.pk or 0).exclude(task="")
    rows = mappings.values_list("task", "queue").distinct()
    return sorted({queue_of(task, queue, is_external=True) for task, queue in rows})


def _result_backend(access: Access, app: Celery) -> Finding:
    shown = broker_url.without_login(access.result_backend)
    client = app.backend.client
    try:
        with apps.errors_of(access, access.result_backend):
            client.ping()
    except BrokerUnavailable as unavailable:
        text = str(unavailable).replace("broker", "result backend", 1)
        return Finding(f"result backend: {text}", is_failure=True, step=Step.RESULTS)
    finally:
        client.connection_pool.disconnect()
    return Finding(f"result backend: connected to {shown}", step=Step.RESULTS)


def _listed(names: Collection[str] | None, noun: str) -> str:
    if names is None:
        return f"{noun}s unknown"
    own = sorted(name for name in names if not name.startswith("celery."))
    shown = ", ".join(own[:_NAMES]) + (", …" if len(own) > _NAMES else "")
    word = noun if len(own) == 1 else f"{noun}s"
    return f"{len(own)} {word}{f' ({shown})' if shown else ''}"
