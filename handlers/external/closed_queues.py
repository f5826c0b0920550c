"""Queues of external tasks that take none: they do not exist, or are full.

Their deliveries wait, and hold up no other. An incident is open while they do.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import structlog

from audit.models import Incident, Trouble
from handlers.models import Delivery, Destination
from handlers.sdk.registry import EXTERNAL_QUEUE
from listeners.clock import database_clock

log = structlog.get_logger(__name__)

KIND = Incident.Kind.QUEUE
#: Why a queue takes no tasks, with what the operator should do.
ABSENT = "does not exist"
REFUSES = "refuses tasks"
_REMEDIES = {
    ABSENT: "Check the queue of the mapping, or start a worker that consumes this queue: it "
    "creates the queue.",
    REFUSES: "Look at the queue's limits, such as x-max-length, at the broker's disk and memory, "
    "and at the workers that consume the queue.",
}
#: Seconds until a queue is tried again.
_PAUSES = {ABSENT: 30.0, REFUSES: 10.0}
#: How long after the last refusal a queue counts as open, though deliveries for it are ready.
_OPEN_AGAIN = timedelta(minutes=3)

_OPEN = "It has not refused a task for some minutes."
_NONE_WAITS = "No delivery waits for it any more."
#: The destination's id, None for our own broker, and the queue of a delivery.
Place = tuple[int | None, str]

_closed_until: dict[Place, float] = {}


def forget() -> None:
    _closed_until.clear()


def closed() -> set[Place]:
    """Return the queues that took no tasks a moment ago."""
    now = time.monotonic()
    return {place for place, until in list(_closed_until.items()) if now < until}


def note(destination: Destination | None, queue: str, reason: str) -> None:
    """Note that a queue of deliveries takes no tasks, for some seconds, and open or refresh its
    incident. Inside any transaction."""
    place = destination.pk if destination else None
    _closed_until[place, queue] = time.monotonic() + _PAUSES[reason]
    name, of_task = destination.name if destination else "", queue or EXTERNAL_QUEUE
    log.warning(
        "deliveries wait for a queue that takes no tasks",
        destination=name,
        queue=of_task,
        reason=reason,
    )
    Incident.objects.report(None, _trouble(name, of_task, reason), database_clock.now())


def close_incidents(now: datetime) -> None:
    """Close the incidents of queues that have not refused a task for some time, or for which no
    delivery waits any more. Inside any transaction."""
    for incident in Incident.objects.opened().filter(kind=KIND, last_seen_at__lte=now):
        is_open_again = incident.last_seen_at < now - _OPEN_AGAIN
        if is_open_again or not _is_waited_for(incident.key, now):
            as_seen = Incident.objects.filter(pk=incident.pk, last_seen_at=incident.last_seen_at)
            as_seen.settle(now, note=_OPEN if is_open_again else _NONE_WAITS)


def reasons() -> dict[str, str]:
    """Return the summaries of the open incidents, by `key_of` the queue."""
    return dict(Incident.objects.opened().filter(kind=KIND).values_list("key", "summary"))


def key_of(destination: str, queue: str) -> str:
    """Return the key of the incident of a queue of deliveries."""
    of_task = queue or EXTERNAL_QUEUE
    return f"{of_task} at {destination}" if destination else of_task


def _is_waited_for(key: str, now: datetime) -> bool:
    queue, _, destination = key.partition(" at ")  # no name has a space
    names = {queue, "" if queue == EXTERNAL_QUEUE else queue}
    place = {"name": destination} if destination else {"isnull": True}
    at = {f"mapping__destination__{lookup}": value for lookup, value in place.items()}
    due = Delivery.objects.ready() | Delivery.objects.retry_due(now)
    return due.filter(is_external=True, queue__in=names, **at).exists()


def _trouble(destination: str, queue: str, reason: str) -> Trouble:
    subject = f"Destination {destination}" if destination else "The broker of this project"
    return Trouble(
        KIND,
        key_of(destination, queue),
        f"{subject}: the queue {queue} {reason}.",
        _REMEDIES[reason],
        action="Deliveries for it wait, and are sent once it takes tasks. Others are not held up.",
        lasts=True,
    )
