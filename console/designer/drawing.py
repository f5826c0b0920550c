"""The flow on a listener's page: channel → listener → handler mappings → tasks, queues. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.text import Truncator

from audit.models import AuditLogEntry
from console import links
from console.designer.counts import RECENT
from console.designer.facts import HOUR, Facts
from handlers.models import Delivery, HandlerMapping
from handlers.sdk import registry
from handlers.sdk.registry import queue_of

State = Delivery.State

#: The most characters of an error's first line.
_SHOWN = 140


@dataclass(frozen=True)
class Number:
    """A count that links to what it counts."""

    text: str
    name: str
    href: str
    tone: str = ""


@dataclass(frozen=True)
class Route:
    """A mapping, and the task that gets its changes."""

    mapping: HandlerMapping
    href: str
    #: The mapping's restrictions, in a few words each.
    narrowed: Sequence[str]
    target: str
    summary: str
    queue: str
    numbers: Sequence[Number]
    #: The last error: its first line, its address, and whether it is final.
    error: dict[str, Any] | None
    #: The problem that keeps the mapping from working; empty if none.
    trouble: str
    #: Whether a line from a route below passes it on the way to the queues.
    is_passed: bool

    @property
    def is_external(self) -> bool:
        return bool(self.mapping.task)

    @property
    def destination(self) -> str:
        """The name of the queue's broker; empty for the broker of this project."""
        return self.mapping.destination.name if self.mapping.destination else ""

    @property
    def shown_queue(self) -> str:
        return f"{self.queue} on {self.destination}" if self.destination else self.queue


@dataclass(frozen=True)
class Drawing:
    facts: Facts
    connection_href: str
    received: Sequence[Number]
    #: The mappings of each event: create, update, delete and restore.
    groups: Sequence[dict[str, Any]]
    queues: Sequence[dict[str, Any]]
    recent: int = RECENT


def draw(facts: Facts) -> Drawing:
    reader, listener = facts.reader, facts.listener
    routes = _routes(facts)
    return Drawing(
        facts=facts,
        connection_href=links.connection(listener.connection_id) if reader.sees_connections else "",
        received=list(_received(facts)),
        groups=[_group(on, routes, facts) for on in HandlerMapping.On],
        queues=list(_queues(routes, facts)),
    )


def _received(facts: Facts) -> Iterator[Number]:
    for span, count in facts.received.items():
        text = "in the last hour" if span == HOUR else "in the last 24 h"
        yield Number(
            f"{count:,}", text, links.entries(facts.now - span, listener=facts.listener.name)
        )


def _group(on: HandlerMapping.On, routes: Sequence[Route], facts: Facts) -> dict[str, Any]:
    last = max((_ORDER.index(route.mapping.on) for route in routes if route.target), default=-1)
    place = _ORDER.index(on)
    return {
        "on": on.value,
        "name": on.label,
        "routes": [route for route in routes if route.mapping.on == on],
        "add": links.new_mapping(facts.listener.pk, on) if facts.reader.adds_mappings else "",
        # Like `Route.is_passed`, for the heading and for what follows it.
        "is_passed": place <= last,
        "is_passed_below": place < last,
    }


_ORDER = HandlerMapping.On.values


def _routes(facts: Facts) -> list[Route]:
    """Return the routes in the order in which they are drawn, from the top."""
    found: list[Route] = []
    is_passed = False
    for mapping in sorted(facts.mappings, key=lambda one: (_ORDER.index(one.on), one.pk))[::-1]:
        found.append(_route(mapping, facts, is_passed))
        is_passed |= bool(found[-1].target)
    return found[::-1]


def _route(mapping: HandlerMapping, facts: Facts, is_passed: bool) -> Route:
    target = mapping.handler or mapping.task
    handler = registry.find(mapping.handler) if mapping.handler else None
    mirror = facts.mirror_of(mapping)
    summary = handler.summary if handler else ""
    return Route(
        mapping=mapping,
        href=links.mirror(mirror.pk) if mirror else links.mapping(mapping.pk),
        narrowed=list(narrowed(mapping)),
        target=target,
        summary=f"Keeps the mirror {mirror}" if mirror else summary,
        queue=queue_of(target, mapping.queue, is_external=bool(mapping.task)) if target else "",
        numbers=list(numbers(mapping, facts)),
        error=last_error(mapping, facts),
        trouble="not registered" if mapping.handler and handler is None else "",
        is_passed=is_passed,
    )


def narrowed(mapping: HandlerMapping) -> Iterator[str]:
    if mapping.changed_fields:
        yield f"when {', '.join(mapping.changed_fields)} changed"
    if mapping.condition:
        yield "with a condition"
    if mapping.ignore_origins or mapping.ignore_users:
        yield "ignoring own writes"


def numbers(mapping: HandlerMapping, facts: Facts) -> Iterator[Number]:
    """Yield the mapping's deliveries by state.

    Succeeded, sent and skipped ones are of the recent changes; the other states are complete.
    """
    if not facts.reader.sees_deliveries:
        return

    def number(state: State, shown: str, tone: str = "") -> Number:
        href = links.deliveries(state, facts.listener.name, mapping.pk)
        return Number(shown, str(state.label).lower(), href, tone)

    recent, waits = facts.recent_of(mapping.pk), facts.waiting.of(mapping.pk)
    if mapping.handler or mapping.task:
        well = State.SENT if mapping.task and not mapping.track else State.SUCCEEDED
        yield number(well, f"{recent[well]:,}", "good")
    if count := recent[State.SKIPPED]:
        yield number(State.SKIPPED, f"{count:,}")
    for state, tone in _UNENDED.items():
        if count := waits[state]:
            yield number(state, facts.waiting.shown(count, state), tone)


#: The tone of each state that is not final or needs attention.
_UNENDED = {
    State.BLOCKED: "",
    State.READY: "",
    State.QUEUED: "",
    State.RUNNING: "",
    State.RETRYING: "warning",
    State.DEAD: "bad",
}


def last_error(mapping: HandlerMapping, facts: Facts) -> dict[str, Any] | None:
    delivery = facts.failures.get(mapping.pk)
    if delivery is None:
        return None
    entry: AuditLogEntry = delivery.entry
    first = facts.reader.sight.text(delivery.error, entry).partition("\n")[0]
    return {
        "text": Truncator(first).chars(_SHOWN),
        "href": links.delivery(delivery.pk),
        "is_dead": delivery.state == State.DEAD,
    }


def _queues(routes: Sequence[Route], facts: Facts) -> Iterator[dict[str, Any]]:
    waits, sees = facts.waiting, facts.reader.sees_workers
    targets = [route for route in routes if route.target]
    for shown in dict.fromkeys(route.shown_queue for route in targets):
        mine = [route.mapping for route in targets if route.shown_queue == shown]
        count = sum(waits.of(mapping.pk)[state] for mapping in mine for state in _SENT_SOON)
        # None if the user may not see them, or if the workers are of another project.
        workers = _workers_of(shown, facts) if sees and any(m.handler for m in mine) else None
        yield {
            "id": shown.replace(" ", "-"),
            "name": shown,
            "waiting": waits.shown(count, *_SENT_SOON) if facts.reader.sees_deliveries else "",
            "workers": workers,
            "has_no_worker": workers == 0,
            "href": links.workers() if sees else "",
        }


_SENT_SOON = (State.READY, State.QUEUED)


def _workers_of(queue: str, facts: Facts) -> int:
    return sum(
        getattr(worker, "is_live", False) and queue in worker.queues for worker in facts.workers
    )
