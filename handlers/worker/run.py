"""The runs of a message's deliveries in a worker: claim → load → run → settle.

Where there are many they are claimed and settled together, as many as are done in no time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog
from django.db import DatabaseError, Error, OperationalError, transaction

from audit.db.retry import retry
from audit.incidents.login import report
from handlers import tracing
from handlers.outbox.message_size import grouped, most
from handlers.sdk import registry
from handlers.sdk.outcomes import Failed, Outcome, Skipped, failed
from handlers.sdk.registry import Handler
from handlers.superseded.prepare import present_of
from handlers.types import Claim, ClaimLost, Ended, Run, Unit
from handlers.worker import claim_size
from handlers.worker.claim import claim, give_back
from handlers.worker.claim_heartbeat import heartbeat
from handlers.worker.invoke import Refused, call, handler_of
from handlers.worker.log_context import naming
from handlers.worker.message_run import Bundle
from handlers.worker.settle import settle_all
from handlers.worker.slow_run_guard import watchdog
from listeners import crash_points
from listeners.clock import database_clock
from listeners.connections import handler_clients

log = structlog.get_logger(__name__)


def run_delivery(delivery_id: int) -> str:
    """Run a delivery once, if it is there to be run; says how it ended. Never inside a transaction.

    A message that came twice, or too late, finds nothing to claim and ends as `not claimed`.
    """
    return run_deliveries([delivery_id])


def run_deliveries(ids: Sequence[int], handler_name: str = "") -> str:
    """The same for many; how many ended how. What there is no time for is published again."""
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


def _size(handler: Handler[Any] | None, most: int) -> int:
    if handler is not None and handler.batch:
        return handler.batch
    return claim_size.of(handler.name).size(most) if handler is not None else 1


def _work(bundle: Bundle, ids: Sequence[int], handler_name: str) -> None:
    claims = claim(ids, handler_name)
    bundle.counts["not claimed"] += len(ids) - len(claims)
    with heartbeat.of(*(one.running for one in claims)):
        bundle.begin(_units_to_run(claims))
        while unit := bundle.next():
            bundle.end(_run(unit))
        bundle.settle()
    if claims:
        crash_points.reach("ended")
    bundle.hand_on()


def _units(claims: Sequence[Claim]) -> Iterator[Unit]:
    """What is run at once: a delivery, or many of a mapping whose handler takes many."""
    many = []
    for one in claims:
        handler = handler_of(one)
        if handler is None or not handler.batch:
            yield [one]
        else:
            size = most(handler, one.counted - 1, one.delivery.allowed_attempts)
            many.append((((one.delivery.handler, one.delivery.mapping_id), size), one))
    yield from grouped(many)


def _units_to_run(claims: Sequence[Claim]) -> list[Unit]:
    """The claims are given back where the database does not tell what has overtaken them."""
    units = list(_units(claims))
    try:
        return retry(lambda: _up_to_date(units), "look for later changes")
    except BaseException:
        with suppress(Error):
            give_back(claims)
        raise


def _up_to_date(units: Sequence[Unit]) -> list[Unit]:
    """Add what later changes have made of the claims that they have overtaken. A claim that ends
    without its handler is a unit of its own."""
    results = present_of([claim.delivery for unit in units for claim in unit])
    if not results:
        return list(units)
    ready: list[Unit] = []
    for unit in units:
        claims = [replace(one, overtaken=results.get(one.delivery.pk)) for one in unit]
        ready += [[one] for one in claims if isinstance(one.overtaken, Skipped | Failed)]
        if called := [one for one in claims if not isinstance(one.overtaken, Skipped | Failed)]:
            ready.append(called)
    return ready


def _run(unit: Unit) -> Run:
    with naming(unit), claim_size.of(unit[0].delivery.handler).timed():
        if tracing.spans is not None:
            return tracing.spans.handling(unit, _handle)
        return _handle(unit)


def _handle(unit: Unit) -> Run:
    handler = handler_of(unit[0])
    if handler is not None and handler.atomic:
        return _run_atomically(unit)
    began = database_clock.now()
    try:
        return Run(_ended(unit, call(unit), began))
    except Refused as refused:
        return Run(_ended(unit, refused.outcomes, began))


def _run_atomically(unit: Unit) -> Run:
    """The handler's writes and the outcomes in one transaction; a failure rolls both back."""
    _renew_token(unit[0])
    try:
        # OperationalError is not the handler's failure, and all of it is undone.
        return retry(lambda: _try_atomically(unit), "run")
    except ClaimLost:
        ids = [one.delivery.pk for one in unit]
        log.warning("claim lost", deliveries=ids)
        give_back(unit)
        return Run((), (), ids)


def _try_atomically(unit: Unit) -> Run:
    """Raises OperationalError when the database broke it off: a deadlock, or it went away."""
    began = database_clock.now()
    try:
        with transaction.atomic(durable=True):
            ended = _ended(unit, call(unit), began)
            following, lost = settle_all(ended)
            if lost:
                raise ClaimLost
            return Run(ended, following)
    except Refused as refused:
        outcomes = refused.outcomes
    except OperationalError:
        raise
    except DatabaseError as error:  # the commit itself was refused: a deferred constraint
        outcomes = [failed(error)] * len(unit)
    return Run(_ended(unit, outcomes, began))


def _ended(unit: Unit, outcomes: Sequence[Outcome], began: datetime) -> list[Ended]:
    now = database_clock.now()
    pairs = zip(unit, outcomes, strict=True)
    return [Ended(claim, outcome, began, now) for claim, outcome in pairs]


def _renew_token(claim: Claim) -> None:
    """For handlers that call Salesforce back: not from inside their transaction, which on SQLite
    would keep the new token from being stored."""
    handler_clients.renew(claim.delivery.entry.listener, report)
