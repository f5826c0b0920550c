"""Calls a handler with one event or a batch, and returns the outcome of each event."""

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
from handlers.sdk.mirrored import Rows
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
from handlers.worker.claim import run_time_of
from handlers.worker.connection_guard import ConnectionGuard
from handlers.worker.run_log import place_of
from listeners import crash_points


class AllFailed(Exception):
    """A handler failed for all its events; an atomic handler's writes are rolled back.

    `error` is what it raised, if it raised anything.
    """

    def __init__(self, outcomes: Sequence[Outcome], error: BaseException | None = None) -> None:
        self.outcomes = list(outcomes)
        self.error = error
        super().__init__()


def handler_of(claim: Claim) -> Handler[Any] | None:
    return registry.find(claim.delivery.handler)


def call(claims: Sequence[Claim]) -> list[Outcome]:
    """Call the handler of a unit and return the outcome of each claim.

    A claim that ends without a call of the handler is alone in its unit. Raises AllFailed.
    """
    handler = handler_of(claims[0])
    delivery = claims[0].delivery
    if delivery.active_mapping is None:
        return [Skipped(MAPPING_DELETED)] * len(claims)
    if handler is None:
        error = f"no handler is registered under the name {delivery.handler!r}"
        raise AllFailed([Failed(error)] * len(claims))
    match claims[0].overtaken:
        case Skipped() as skipped:
            return [skipped]
        case Failed() as failed_read:
            raise AllFailed([failed_read])
    rows = Rows([claim.delivery.entry for claim in claims]) if delivery.mapping.after else None
    events = [event_of(claim, rows) for claim in claims]
    guard = ConnectionGuard()
    try:
        outcomes = _called(handler, events)
    except AllFailed as failure:
        if reason := guard.changes(raised=True):
            outcomes = [_with_reason(outcome, reason) for outcome in failure.outcomes]
            raise AllFailed(outcomes, failure.error) from None
        raise
    except BaseException:  # the process ends
        guard.changes()
        raise
    if reason := guard.changes():
        raise AllFailed([Failed(reason)] * len(claims))
    crash_points.reach("handled")
    return outcomes


def _called(handler: Handler[Any], events: list[EventData]) -> list[Outcome]:
    """Call the handler and return the outcome of each event.

    Any exception ends the attempt and is recorded with it, except one that ends the process.
    """
    try:
        with run_time_of(handler.name).timed():
            result = handler(events if handler.batch else events[0])
    except BatchFailed as error:
        outcomes: list[Outcome] = (
            _batch_outcomes(error, events) if handler.batch else [failed(error)]
        )
        if all(isinstance(outcome, Failed) for outcome in outcomes):
            raise AllFailed(outcomes) from None
        return outcomes
    except BaseException as error:
        if _ends_process(error):
            raise
        outcomes = [failed(error, place_of(error, handler))] * len(events)
        raise AllFailed(outcomes, error) from None
    return [returned(result)] * len(events)


def _ends_process(error: BaseException) -> bool:
    """Return whether the worker raised the exception into the handler to end its process.

    A terminated pool child raises SystemExit, and Ctrl-C raises KeyboardInterrupt where Python's
    own signal handler is installed.
    """
    if isinstance(error, WorkerShutdown | WorkerTerminate):
        return True
    if isinstance(error, KeyboardInterrupt):
        in_main_thread = threading.current_thread() is threading.main_thread()
        return in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return not isinstance(error, Exception) and terminate_handler_fired()


def _with_reason(outcome: Outcome, reason: str) -> Outcome:
    """Return the outcome as a failure that also states the reason."""
    if not isinstance(outcome, Failed):
        return Failed(reason)
    return replace(outcome, error=f"{outcome.error}; {reason}")


def event_of(claim: Claim, rows: Rows | None) -> EventData:
    """Return the event of a claim; `rows` are given if its mapping runs after the mirror."""
    present = claim.overtaken if isinstance(claim.overtaken, Present) else None
    return EventData.of(
        claim.delivery.entry,
        attempt=claim.attempt,
        options=claim.delivery.mapping.options,
        present=present,
        row=rows.row_of(claim.delivery.entry) if rows is not None else None,
    )


def _batch_outcomes(failure: BatchFailed, events: Sequence[EventData]) -> list[Outcome]:
    """Return the outcome of each event according to `BatchFailed`."""
    unknown = failure.errors.keys() - {event.id for event in events}
    if unknown:
        named = ", ".join(sorted(map(repr, unknown)))
        error = f"BatchFailed names events that were not in the batch: {named}"
        return [Failed(error)] * len(events)
    return [_outcome(failure.errors.get(event.id, Succeeded())) for event in events]


def _outcome(result: Exception | Skipped | str | Succeeded) -> Outcome:
    match result:
        case Exception():
            return failed(result)
        case str():
            return Failed(result, type=BatchFailed.__qualname__)
        case _:
            return result
