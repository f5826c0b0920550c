"""The health summary: one sentence whose parts link to where each problem can be fixed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.utils.text import Truncator
from django.utils.timezone import localtime

from console import links
from console.home.facts import Facts
from consumer.status.listeners import ListenerStatus
from handlers.models import Delivery
from listeners.listener_state import STALLED
from listeners.models import Listener, Position

State = Position.State

#: The most listeners, handlers or mirrors named one by one.
NAMED = 3
#: The most characters of a mirror's problem.
_SHOWN = 100
_DO = {
    State.FAILED.value: "has failed",
    STALLED: "has stalled",
    State.STOPPED.value: "is not running",
    State.CONNECTING.value: "is connecting",
}


@dataclass(frozen=True)
class Trouble:
    text: str
    href: str
    #: False if the problem recovers by itself or is known.
    is_serious: bool = True


def health_summary(facts: Facts) -> dict[str, Any]:
    """Return what `home_verdict.html` shows; `text` is the state of a system without trouble."""
    troubles = [
        *_listeners(facts),
        *_workers(facts),
        *_paused(facts),
        *_deliveries(facts),
        *_mirrors(facts),
        *_incidents(facts),
    ]
    is_serious = any(trouble.is_serious for trouble in troubles)
    return {
        "troubles": troubles,
        "variant": "error" if is_serious else "warning" if troubles else "success",
        "text": _praise(facts),
        # Whether the user may not see everything.
        "is_partial": not facts.reader.sees_everything,
    }


def is_in_trouble(status: ListenerStatus) -> bool:
    return status.enabled and status.state != State.RECEIVING.value


def _listeners(facts: Facts) -> Iterator[Trouble]:
    lagging: list[tuple[Listener, ListenerStatus]] = [
        (listener, status) for listener, status in facts.listeners if is_in_trouble(status)
    ]
    lagging.sort(key=lambda pair: list(_DO).index(pair[1].state))
    for listener, status in lagging[:NAMED]:
        yield Trouble(
            f"listener {listener.name} {_DO[status.state]}",
            links.listener(listener.pk),
            is_serious=status.state != State.CONNECTING.value,
        )
    if more := lagging[NAMED:]:
        text = f"{_number(len(more), 'more listener')} not receiving"
        yield Trouble(text, links.listeners())


def _workers(facts: Facts) -> Iterator[Trouble]:
    if facts.unheard and not facts.live_workers:
        yield Trouble("no Celery worker is online", links.workers())
    else:
        for queue in facts.unheard:
            yield Trouble(f"no worker consumes the queue {queue}", links.workers())
    if facts.unregistered:
        text = f"{_number(len(facts.unregistered), 'mapped handler')} not registered"
        yield Trouble(text, links.listeners())


def _paused(facts: Facts) -> Iterator[Trouble]:
    """List paused handlers, which an operator may have forgotten to resume."""
    found = [
        (listener, one) for listener, status in facts.listeners for one in status.paused_handlers
    ]
    for listener, one in found[:NAMED]:
        waiting = f", {one.waiting:,}{'+' if one.or_more else ''} waiting" if one.waiting else ""
        since = f"{localtime(one.since):%Y-%m-%d %H:%M}"
        text = f"{one.handler} of {listener.name} has been paused since {since}{waiting}"
        yield Trouble(text, links.listener(listener.pk), is_serious=False)
    if more := found[NAMED:]:
        yield Trouble(f"{_number(len(more), 'more handler')} paused", links.mappings(), False)


def _deliveries(facts: Facts) -> Iterator[Trouble]:
    dead = Delivery.State.DEAD.value
    if count := facts.backlog.totals[dead]:
        noun = "dead letter" if count == 1 else "dead letters"
        yield Trouble(f"{facts.backlog.shown(count, dead)} {noun}", links.dead_letters())


def _mirrors(facts: Facts) -> Iterator[Trouble]:
    for mirror, reason in facts.bad_mirrors[:NAMED]:
        first = Truncator(reason.partition("\n")[0]).chars(_SHOWN)
        yield Trouble(f"mirror {mirror}: {first.rstrip('.')}", links.mirror(mirror.pk))
    if more := facts.bad_mirrors[NAMED:]:
        text = f"{_number(len(more), 'more mirror')} in need of attention"
        yield Trouble(text, links.mirrors())


def _incidents(facts: Facts) -> Iterator[Trouble]:
    found = facts.incidents
    if found.count:
        text = _number(found.count, "open incident")
        known = found.count - found.unacknowledged
        if known:
            text += f" ({known} acknowledged)"
        yield Trouble(text, links.incidents(), is_serious=bool(found.unacknowledged))


def _praise(facts: Facts) -> str:
    parts = []
    if facts.listeners:
        enabled = [status for _, status in facts.listeners if status.enabled]
        parts.append(f"{_number(len(enabled), 'listener')} receiving")
        if off := len(facts.listeners) - len(enabled):
            parts.append(f"{off} disabled")
    if facts.mirrors:
        parts.append(_number(facts.mirrors, "mirror"))
    if facts.live_workers:
        parts.append(f"{_number(len(facts.live_workers), 'worker')} online")
    if facts.reader.sees_deliveries:
        parts.append("no dead letters")
    if facts.reader.sees_incidents:
        parts.append("no open incidents")
    return ", ".join(parts)


def _number(count: Any, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
