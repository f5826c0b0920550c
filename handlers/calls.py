"""A handler is called: with a change, or with many at once; what it came to for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from handlers import registry
from handlers.claims import Claim
from handlers.events import EventData
from handlers.log_context import place_of
from handlers.outcomes import (
    MAPPING_DELETED,
    BatchFailed,
    Failed,
    Outcome,
    Skipped,
    Succeeded,
    failed,
    returned,
)
from handlers.registry import Handler
from handlers.superseded.fields import Present
from listeners import milestones


class Refused(Exception):
    """A handler failed for all that it was called with: what it has written goes with it."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self.outcomes = list(outcomes)
        super().__init__()


def handler_of(claim: Claim) -> Handler[Any] | None:
    return registry.find(claim.delivery.handler)


def call(claims: Sequence[Claim]) -> list[Outcome]:
    """The outcome of each. They are of one handler, and of one mapping where it takes many; one
    that ends without its handler is alone. Raises Refused."""
    handler = handler_of(claims[0])
    delivery = claims[0].delivery
    if delivery.asked_by is None:
        return [Skipped(MAPPING_DELETED)] * len(claims)
    if handler is None:
        error = f"no handler is registered under the name {delivery.handler!r}"
        raise Refused([Failed(error)] * len(claims))
    match claims[0].overtaken:
        case Skipped() as skipped:
            return [skipped]
        case Failed() as failure:
            raise Refused([failure])
    events = [event_of(claim) for claim in claims]
    # A handler may raise anything: whatever it is ends the attempt and is kept with it.
    try:
        result = handler(events if handler.batch else events[0])
    except BatchFailed as error:
        outcomes: list[Outcome] = _told(error, events) if handler.batch else [failed(error)]
        if all(isinstance(one, Failed) for one in outcomes):
            raise Refused(outcomes) from None
        return outcomes
    except Exception as error:
        raise Refused([failed(error, place_of(error, handler))] * len(claims)) from None
    milestones.reach("handled")
    return [returned(result)] * len(claims)


def event_of(claim: Claim) -> EventData:
    delivery = claim.delivery
    options = delivery.mapping.options if delivery.mapping else None
    present = claim.overtaken if isinstance(claim.overtaken, Present) else None
    return EventData.of(delivery.entry, attempt=claim.attempt, options=options, present=present)


def _told(failure: BatchFailed, events: Sequence[EventData]) -> list[Outcome]:
    """What it says of each."""
    unknown = failure.errors.keys() - {event.id for event in events}
    if unknown:
        named = ", ".join(sorted(map(repr, unknown)))
        return [Failed(f"BatchFailed names what was not in the batch: {named}")] * len(events)
    return [_outcome(failure.errors.get(event.id, Succeeded())) for event in events]


def _outcome(told: Exception | Skipped | str | Succeeded) -> Outcome:
    match told:
        case Exception():
            return failed(told)
        case str():
            return Failed(told, type=BatchFailed.__qualname__)
        case _:
            return told
