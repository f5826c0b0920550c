"""A handler is called: with a change, or with many at once; what it came to for each of them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from billiard.common import terminate_handler_fired
from celery.exceptions import WorkerShutdown, WorkerTerminate

from handlers.sdk import registry
from handlers.sdk.events import EventData, Present
from handlers.sdk.outcomes import (
    MAPPING_DELETED,
    BatchFailed,
    Failed,
    Outcome,
    Skipped,
    Succeeded,
    failed,
    returned,
)
from handlers.sdk.registry import Handler
from handlers.types import Claim
from handlers.worker.connection_guard import ConnectionGuard
from handlers.worker.log_context import place_of
from listeners import crash_points


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
    guard = ConnectionGuard()
    try:
        outcomes = _called(handler, events)
    except Refused as refused:
        if reason := guard.changes():
            raise Refused([_adding(one, reason) for one in refused.outcomes]) from None
        raise
    except BaseException:  # the process ends
        guard.changes()
        raise
    if reason := guard.changes():
        raise Refused([Failed(reason)] * len(claims))
    crash_points.reach("handled")
    return outcomes


def _called(handler: Handler[Any], events: list[EventData]) -> list[Outcome]:
    """The outcome of each. Whatever a handler raises ends the attempt and is kept with it, except
    what ends the worker's process."""
    try:
        result = handler(events if handler.batch else events[0])
    except BatchFailed as error:
        outcomes: list[Outcome] = _told(error, events) if handler.batch else [failed(error)]
        if all(isinstance(one, Failed) for one in outcomes):
            raise Refused(outcomes) from None
        return outcomes
    except BaseException as error:
        if _ends_process(error):
            raise
        raise Refused([failed(error, place_of(error, handler))] * len(events)) from None
    return [returned(result)] * len(events)


def _ends_process(error: BaseException) -> bool:
    """Whether the worker raised it into the handler, to end its process: a pool's child that is
    terminated exits so, and Ctrl-C interrupts where Python's own handler is installed."""
    if isinstance(error, WorkerShutdown | WorkerTerminate):
        return True
    if isinstance(error, KeyboardInterrupt):
        in_main_thread = threading.current_thread() is threading.main_thread()
        return in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return not isinstance(error, Exception) and terminate_handler_fired()


def _adding(outcome: Outcome, reason: str) -> Outcome:
    """A failure that says the reason, too."""
    if not isinstance(outcome, Failed):
        return Failed(reason)
    return replace(outcome, error=f"{outcome.error}; {reason}")


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
