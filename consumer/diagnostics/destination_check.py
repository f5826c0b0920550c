"""Check a destination: connect → ask its workers → connect to its result backend.

Nothing is declared or changed on the broker, apart from the short-lived queue for the replies of
Celery's remote control. No finding contains a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from celery import Celery

from audit.action_log import Action, Actor, note
from consumer.diagnostics.findings import Finding, Step, within
from handlers.broker import BrokerUnavailable
from handlers.external import apps
from handlers.models import Destination, HandlerMapping, broker_url
from handlers.sdk.registry import queue_of

#: How long the check may take; a step in progress still finishes.
LONGEST_SECONDS = 25.0
#: Seconds to wait for the workers' replies.
REPLY_SECONDS = 2.0
#: The most workers, and names of a worker, that a finding lists.
_WORKERS, _NAMES = 20, 8
_VERSION = re.compile(r"\bcelery:(\d[\w.]*)")


@dataclass(frozen=True, slots=True)
class WorkerReply:
    """What a worker answered; its texts come from another project."""

    name: str
    queues: tuple[str, ...]
    tasks: tuple[str, ...]
    version: str

    def __str__(self) -> str:
        version = f"Celery {self.version}; " if self.version else ""
        queues = _listed(self.queues, "queue")
        return f"{self.name}: {version}{queues}; {_listed(self.tasks, 'task')}"


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
            apps.connect(app)
            yield Finding(_connected(destination, access.broker), step=Step.BROKER)
            replies = list(ask_workers(app))
            yield from _workers(destination, replies)
    except BrokerUnavailable as unavailable:
        yield Finding(str(unavailable), is_failure=True, step=Step.BROKER)
        return
    if access.result_backend:
        yield _result_backend(access, app)


def ask_workers(app: Celery) -> Iterator[WorkerReply]:
    """Ping the workers of a broker, and ask those that answer for their queues and tasks."""
    names = _replies(app.control.inspect(timeout=REPLY_SECONDS).ping())
    if not names:
        return
    inspect = app.control.inspect(timeout=REPLY_SECONDS, limit=len(names), destination=[*names])
    queues, tasks = _replies(inspect.active_queues()), _replies(inspect.registered())
    reports = _replies(inspect.report())
    for name in sorted(names):
        yield WorkerReply(
            name[:200],
            tuple(sorted(_names(queues.get(name), of="name"))),
            tuple(sorted(text.partition(" ")[0] for text in _names(tasks.get(name)))),
            _version(reports.get(name)),
        )


def _replies(found: Any) -> Mapping[str, Any]:
    return {str(name): reply for name, reply in found.items()} if isinstance(found, dict) else {}


def _names(reply: Any, of: str = "") -> set[str]:
    items = reply if isinstance(reply, list) else []
    found = [item.get(of) if of and isinstance(item, dict) else item for item in items]
    return {text[:200] for text in found if isinstance(text, str)}


def _version(reply: Any) -> str:
    text = reply.get("ok") if isinstance(reply, dict) else ""
    found = _VERSION.search(text) if isinstance(text, str) else None
    return found[1][:20] if found else ""


def _connected(destination: Destination, url: str) -> str:
    tls = ", certificate verified" if broker_url.uses_tls(url) else ""
    return f"broker: connected to {broker_url.without_login(url)}{tls}"


def _workers(destination: Destination, replies: list[WorkerReply]) -> Iterator[Finding]:
    if not replies:
        text = (
            f"workers: none answered within {REPLY_SECONDS:g} s. Start a worker of that project; "
            "until then tasks wait in their queue."
        )
        yield Finding(text, is_failure=True, step=Step.WORKERS)
        return
    for reply in replies[:_WORKERS]:
        yield Finding(f"worker {reply}", step=Step.WORKERS)
    if len(replies) > _WORKERS:
        yield Finding(f"note: {len(replies) - _WORKERS} more workers answered", step=Step.WORKERS)
    consumed = {queue for reply in replies for queue in reply.queues}
    for queue in sorted(_queues_used(destination) - consumed):
        text = f"workers: none that answered consumes the queue {queue}, which a mapping uses"
        yield Finding(text, is_failure=True, step=Step.WORKERS)


def _queues_used(destination: Destination) -> set[str]:
    mappings = HandlerMapping.objects.filter(destination_id=destination.pk or 0).exclude(task="")
    rows = mappings.values_list("task", "queue")
    return {queue_of(task, queue, is_external=True) for task, queue in rows}


def _result_backend(access: apps.Access, app: Celery) -> Finding:
    shown = broker_url.without_login(access.result_backend)
    try:
        with apps.errors_of(access, access.result_backend):
            app.backend.client.ping()
    except BrokerUnavailable as unavailable:
        text = str(unavailable).replace("broker", "result backend", 1)
        return Finding(f"result backend: {text}", is_failure=True, step=Step.RESULTS)
    return Finding(f"result backend: connected to {shown}", step=Step.RESULTS)


def _listed(names: tuple[str, ...], noun: str) -> str:
    shown = ", ".join(names[:_NAMES]) + (", …" if len(names) > _NAMES else "")
    word = noun if len(names) == 1 else f"{noun}s"
    return f"{len(names)} {word}{f' ({shown})' if shown else ''}"
