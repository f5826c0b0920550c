"""Is everything all right? In one sentence, whose every part leads to where it can be mended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.utils.timezone import localtime

from console import links
from console.home.facts import Facts
from consumer.status.listeners import ListenerStatus
from handlers.models import Delivery
from listeners.listener_state import STALLED
from listeners.models import Listener, Position

State = Position.State

#: Of listeners that do not receive, so many are named.
NAMED = 3
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
    #: Else it mends itself, or somebody knows of it.
    is_serious: bool = True


@dataclass(frozen=True)
class Verdict:
    troubles: list[Trouble]
    #: What is all right, where everything is.
    text: str
    #: The reader may not see everything.
    is_partial: bool

    @property
    def is_all_right(self) -> bool:
        return not self.troubles

    @property
    def variant(self) -> str:
        if self.is_all_right:
            return "success"
        return "error" if any(trouble.is_serious for trouble in self.troubles) else "warning"


def verdict(facts: Facts) -> Verdict:
    troubles = [
        *_listeners(facts),
        *_workers(facts),
        *_paused(facts),
        *_deliveries(facts),
        *_incidents(facts),
    ]
    return Verdict(troubles, _praise(facts), is_partial=not facts.reader.sees_everything)


def is_in_trouble(status: ListenerStatus) -> bool:
    return status.enabled and status.state != State.RECEIVING.value


def _listeners(facts: Facts) -> Iterator[Trouble]:
    lagging: list[tuple[Listener, ListenerStatus]] = [
        (listener, status) for listener, status in facts.listeners if is_in_trouble(status)
    ]
    lagging.sort(key=lambda pair: list(_DO).index(pair[1].state))
    for listener, status in lagging[:NAMED]:
        yield Trouble(
            f"{listener.name} {_DO[status.state]}",
            links.listener(listener.pk),
            is_serious=status.state != State.CONNECTING.value,
        )
    if more := lagging[NAMED:]:
        text = f"{_number(len(more), 'more listener')} not receiving"
        yield Trouble(text, links.listeners())


def _workers(facts: Facts) -> Iterator[Trouble]:
    if facts.unheard and not facts.live_workers:
        yield Trouble("no worker is there", links.workers())
    else:
        for queue in facts.unheard:
            yield Trouble(f"no worker hears the queue {queue}", links.workers())
    if facts.unregistered:
        text = f"{_number(len(facts.unregistered), 'mapped handler')} not registered"
        yield Trouble(text, links.listeners())


def _paused(facts: Facts) -> Iterator[Trouble]:
    """Somebody wanted it so; that it is forgotten would be the trouble."""
    found = [
        (listener, one) for listener, status in facts.listeners for one in status.paused_handlers
    ]
    for listener, one in found[:NAMED]:
        waiting = f", {one.waiting:,}{'+' if one.or_more else ''} wait" if one.waiting else ""
        since = f"{localtime(one.since):%Y-%m-%d %H:%M}"
        text = f"{one.handler} of {listener.name} is paused since {since}{waiting}"
        yield Trouble(text, links.listener(listener.pk), is_serious=False)
    if more := found[NAMED:]:
        yield Trouble(f"{_number(len(more), 'more handler')} paused", links.mappings(), False)


def _deliveries(facts: Facts) -> Iterator[Trouble]:
    dead = Delivery.State.DEAD.value
    if count := facts.backlog.totals[dead]:
        noun = "dead letter" if count == 1 else "dead letters"
        yield Trouble(f"{facts.backlog.shown(count, dead)} {noun}", links.dead_letters())


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
        receive = "receives" if len(enabled) == 1 else "receive"
        parts.append(f"{_number(len(enabled), 'listener')} {receive}")
        if off := len(facts.listeners) - len(enabled):
            parts.append(f"{off} switched off")
    if facts.live_workers:
        there = "is" if len(facts.live_workers) == 1 else "are"
        parts.append(f"{_number(len(facts.live_workers), 'worker')} {there} there")
    if facts.reader.sees_deliveries:
        parts.append("nothing has failed for good")
    if facts.reader.sees_incidents:
        parts.append("no incident is open")
    return ", ".join(parts)


def _number(count: Any, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
