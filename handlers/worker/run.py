"""Runs the deliveries of a message in a worker: claim → load → run → settle.

Short runs are claimed and settled many at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

from django.db import Error

from audit.db.retry import retry
from handlers import tracing
from handlers.outbox.message_size import grouped, size_limit
from handlers.sdk import registry
from handlers.sdk.outcomes import Failed, Skipped
from handlers.sdk.registry import Handler
from handlers.superseded.prepare import present_of
from handlers.types import Claim, Run, Unit
from handlers.worker.atomic_runs import ended_of, run_atomically
from handlers.worker.claim import claim, give_back, heartbeat, run_time_of
from handlers.worker.invoke import AllFailed, call, handler_of
from handlers.worker.message_run import Bundle, watchdog
from handlers.worker.run_log import naming
from listeners import crash_points
from listeners.clock import database_clock


def run_deliveries(ids: Sequence[int], handler_name: str = "") -> str:
    """Run deliveries and return the number of each outcome, such as "3 succeeded, 1 failed".

    A duplicate or late message finds nothing to claim and returns "not claimed". Deliveries left
    when the time for the message is over are published again. Never inside a transaction.
    """
    bundle = Bundle(ids)
    handler = registry.find(handler_name)
    with ExitStack() as watched:
        if len(ids) > 1:
            watched.enter_context(watchdog.over(bundle))
        try:
            while taken := bundle.take(_size(handler, len(ids))):
                _work(bundle, taken, handler_name)
        except BaseException:
            with suppress(Error):
                bundle.leave()
            with suppress(Error):
                bundle.hand_on()
            raise
    return str(bundle)


def _size(handler: Handler[Any] | None, limit: int) -> int:
    if handler is not None and handler.batch:
        return handler.batch
    return run_time_of(handler.name).size(limit) if handler is not None else 1


def _work(bundle: Bundle, ids: Sequence[int], handler_name: str) -> None:
    claims = claim(ids, handler_name)
    bundle.counts["not claimed"] += len(ids) - len(claims)
    with heartbeat.of(claims):
        bundle.begin(_units_to_run(claims))
        while unit := bundle.next():
            bundle.end(_run(unit, bundle))
        bundle.settle()
    if claims:
        crash_points.reach("ended")
    bundle.hand_on()


def _units(claims: Sequence[Claim]) -> Iterator[Unit]:
    """Yield the claims of each call: one, or several of a mapping with a batch handler."""
    batched = []
    for claimed in claims:
        handler, delivery = handler_of(claimed), claimed.delivery
        if handler is None or not handler.batch:
            yield [claimed]
        else:
            size = size_limit(handler, claimed.counted - 1, delivery.allowed_attempts)
            batched.append((((delivery.handler, delivery.mapping_id), size), claimed))
    yield from grouped(batched)


def _units_to_run(claims: Sequence[Claim]) -> list[Unit]:
    """Return the units to run. Gives the claims back if later changes cannot be looked up."""
    units = list(_units(claims))
    try:
        return retry(lambda: _up_to_date(units), "look for later changes")
    except BaseException:
        with suppress(Error):
            give_back(claims)
        raise


def _up_to_date(units: Sequence[Unit]) -> list[Unit]:
    """Set `overtaken` on the claims that later changes have overtaken.

    A claim that ends without a call of its handler becomes a separate unit.
    """
    results = present_of([claim.delivery for unit in units for claim in unit])
    if not results:
        return list(units)
    ready: list[Unit] = []
    for unit in units:
        claims = [replace(claimed, overtaken=results.get(claimed.delivery.pk)) for claimed in unit]
        ready += [[claimed] for claimed in claims if _ends_uncalled(claimed)]
        if called := [claimed for claimed in claims if not _ends_uncalled(claimed)]:
            ready.append(called)
    return ready


def _ends_uncalled(claimed: Claim) -> bool:
    return isinstance(claimed.overtaken, Skipped | Failed)


def _run(unit: Unit, bundle: Bundle) -> Run:
    handler = handler_of(unit[0])
    if handler is not None and handler.atomic:
        return run_atomically(unit, bundle, _around)
    return _around(unit, _handle)


def _around(unit: Unit, handle: Callable[[Unit], Run]) -> Run:
    with naming(unit):
        if tracing.spans is not None:
            return tracing.spans.handling(unit, handle)
        return handle(unit)


def _handle(unit: Unit) -> Run:
    began = database_clock.now()
    try:
        return Run(ended_of(unit, call(unit), began))
    except AllFailed as failure:
        return Run(ended_of(unit, failure.outcomes, began))
