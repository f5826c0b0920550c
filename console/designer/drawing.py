"""The flow on a listener's page: channel → listener → handler mappings → tasks, queues. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from audit.models import AuditLogEntry
from console import links
from console.designer.counts import RECENT
from console.designer.facts import HOUR, Facts
from handlers.models import Delivery, HandlerMapping
from handlers.sdk import registry
from handlers.sdk.registry import queue_of

State = Delivery.State
DAY = 24 * HOUR

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
class LastError:
    text: str
    href: str
    is_dead: bool


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
    error: LastError | None
    #: The problem that keeps the mapping from working; empty if none.
    trouble: str
    #: Whether a line from a route below passes it on the way to the queues.
    is_passed: bool

    @property
    def is_external(self) -> bool:
        return bool(self.mapping.task)


@dataclass(frozen=True)
class Group:
    """The mappings of one event: create, update, delete or restore."""

    on: str
    name: str
    routes: Sequence[Route]
    add: str
    #: Like `Route.is_passed`, for the heading and for what follows it.
    is_passed: bool
    is_passed_below: bool


@dataclass(frozen=True)
class Queue:
    name: str
    #: Waiting deliveries of this listener.
    waiting: str
    #: None if the user may not see them, or if the workers are of another project.
    workers: int | None
    href: str

    @property
    def has_no_worker(self) -> bool:
        return self.workers == 0


@dataclass(frozen=True)
class Drawing:
    facts: Facts
    connection_href: str
    received: Sequence[Number]
    groups: Sequence[Group]
    queues: Sequence[Queue]
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
    if not facts.reader.sees_entries:
        return
    name = facts.listener.name
    for count, span, text in (
        (facts.received.hour, HOUR, "in the last hour"),
        (facts.received.day, DAY, "in the last 24 h"),
    ):
        yield Number(f"{count:,}", text, links.entries(facts.now - span, listener=name))


def _group(on: HandlerMapping.On, routes: Sequence[Route], facts: Facts) -> Group:
    mine = [route for route in routes if route.mapping.on == on]
    add = links.new_mapping(facts.listener.pk, on.value) if facts.reader.adds_mappings else ""
    last = max((_ORDER.index(route.mapping.on) for route in routes if route.target), default=-1)
    place = _ORDER.index(on)
    return Group(on.value, str(on.label), mine, add, place <= last, place < last)


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
    return Route(
        mapping=mapping,
        href=links.mapping(mapping.pk),
        narrowed=list(narrowed(mapping)),
        target=target,
        summary=handler.summary if handler else "",
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
    target = mapping.handler or mapping.task
    if not facts.reader.sees_deliveries:
        return

    def href(state: State) -> str:
        return links.deliveries(state, facts.listener.name, mapping.pk)

    def number(count: int, name: str, state: State, tone: str = "") -> Number:
        shown = f"{count:,}" if state in _ENDED_WELL else facts.waiting.shown(count, state)
        return Number(shown, name, href(state), tone)

    recent, waits = facts.recent_of(mapping.pk), facts.waiting.of(mapping.pk)
    if target:
        well = State.SENT if mapping.task else State.SUCCEEDED
        yield number(recent[well], str(well.label).lower(), well, "good")
    if count := recent[State.SKIPPED]:
        yield number(count, "skipped", State.SKIPPED)
    for state, name, tone in _UNENDED:
        if count := waits[state]:
            yield number(count, name, state, tone)


_ENDED_WELL = (State.SUCCEEDED, State.SENT, State.SKIPPED)
_UNENDED = (
    (State.BLOCKED, "blocked", ""),
    (State.READY, "ready", ""),
    (State.QUEUED, "queued", ""),
    (State.RUNNING, "running", ""),
    (State.RETRYING, "retrying", "warning"),
    (State.DEAD, "dead", "bad"),
)


def last_error(mapping: HandlerMapping, facts: Facts) -> LastError | None:
    delivery = facts.failures.get(mapping.pk)
    if delivery is None:
        return None
    entry: AuditLogEntry = delivery.entry
    first = facts.reader.sight.text(delivery.error, entry).partition("\n")[0]
    text = first if len(first) <= _SHOWN else f"{first[: _SHOWN - 1]}…"
    return LastError(text, links.delivery(delivery.pk), delivery.state == State.DEAD)


def _queues(routes: Sequence[Route], facts: Facts) -> Iterator[Queue]:
    waits, sees = facts.waiting, facts.reader.sees_workers
    for name in dict.fromkeys(route.queue for route in routes if route.target):
        mine = [route.mapping for route in routes if route.target and route.queue == name]
        count = sum(waits.of(mapping.pk)[state] for mapping in mine for state in _SENT_SOON)
        is_ours = any(mapping.handler for mapping in mine)
        yield Queue(
            name=name,
            waiting=waits.shown(count, *_SENT_SOON) if facts.reader.sees_deliveries else "",
            workers=_workers_of(name, facts) if sees and is_ours else None,
            href=links.workers() if sees else "",
        )


_SENT_SOON = (State.READY, State.QUEUED)


def _workers_of(queue: str, facts: Facts) -> int:
    return sum(
        getattr(worker, "is_live", False) and queue in worker.queues for worker in facts.workers
    )
