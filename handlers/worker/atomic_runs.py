"""Runs atomic handlers: a handler's writes and its outcome are committed together, or neither is.

Short runs share a transaction, with a savepoint each, because a commit costs more than they do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from time import monotonic
from typing import Any

import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

from audit.db.retry import retry
from handlers.models.chain_heads import Follower
from handlers.sdk.outcomes import Outcome, Succeeded, failed
from handlers.superseded.masking import hidden_values, masked
from handlers.types import Claim, ClaimLost, Ended, Run, Unit
from handlers.worker.claim import CLAIM_SECONDS, give_back
from handlers.worker.invoke import AllFailed, call, handler_of
from handlers.worker.message_run import LATE_SECONDS, Bundle
from handlers.worker.savepoints import Savepoints
from handlers.worker.settle import settle_in_transaction
from listeners.clock import database_clock
from listeners.connections import handler_clients

log = structlog.get_logger(__name__)

#: Seconds for which an atomic handler is run again after a database error, within one attempt.
RUN_RETRY_SECONDS = 20.0
#: The most savepoints in a transaction. PostgreSQL slows down all its sessions beyond 64.
MOST_TOGETHER = 60
#: How long a handler's runs have transactions of their own after a shared one failed, for example
#: because two workers locked the same rows in a different order, or took long.
APART_SECONDS = 60.0

#: Calls its second argument with the unit, in its log context and trace.
Around = Callable[[Unit, Callable[[Unit], Run]], Run]

_apart_until: dict[str, float] = {}


class _Broken(Exception):
    """The shared transaction cannot be committed any more."""


def run_atomically(unit: Unit, bundle: Bundle, around: Around) -> Run:
    """Run a unit, together with those after it in the bundle that may share its transaction.

    If the transaction fails, nothing of it is committed, and its units run again, one by one.
    """
    _renew_token(unit[0])
    if not _may_share(unit, bundle) or not bundle.has_waiting():
        return around(unit, _run_alone)
    began = monotonic()
    units: list[Unit] = []
    again: list[Unit] = []
    ended: list[Ended] = []
    following: list[Follower] = []
    try:
        with transaction.atomic(durable=True):
            savepoints = Savepoints()
            for each in _those_together(unit, bundle):
                units.append(each)
                run = around(each, partial(_run_in_savepoint, savepoints))
                ended += run.ended
                if not run.ended:  # later changes of its record must not overtake it
                    again.append(each)
                    break
            savepoints.end()
            if ended:
                following = _settle(ended)
    except (_Broken, ClaimLost, DatabaseError, InterfaceError) as error:
        if len(units) > 1 and not isinstance(error, ClaimLost):
            _keep_apart(unit)
        bundle.put_back(units or [unit])
        return Run((), ())
    except BaseException:  # the process ends
        bundle.put_back(units[:-1] if units else [unit])
        raise
    bundle.put_back(again)
    if monotonic() - began > LATE_SECONDS:
        _keep_apart(unit)
    return Run(ended, following)


def _may_share(unit: Unit, bundle: Bundle) -> bool:
    handler = handler_of(unit[0])
    if handler is None or not handler.atomic or handler.batch or bundle.was_put_back(unit):
        return False
    return monotonic() >= _apart_until.get(handler.name, 0.0)


def _those_together(first: Unit, bundle: Bundle) -> Iterator[Unit]:
    """Yield units until their work takes CLAIM_SECONDS; all have the first one's listener, whose
    token was renewed."""
    began, listener = monotonic(), first[0].delivery.entry.listener_id

    def is_alike(unit: Unit) -> bool:
        return unit[0].delivery.entry.listener_id == listener and _may_share(unit, bundle)

    yield first
    for _ in range(MOST_TOGETHER - 1):
        is_over = monotonic() - began > CLAIM_SECONDS
        unit = None if is_over else bundle.next(is_alike)
        if unit is None:
            return
        yield unit


def _keep_apart(unit: Unit) -> None:
    name = unit[0].delivery.handler
    _apart_until[name] = monotonic() + APART_SECONDS
    log.info(
        "a transaction of several runs failed or took long: each has its own for a time",
        handler=name,
    )


def _run_in_savepoint(savepoints: Savepoints, unit: Unit) -> Run:
    """Run a unit in the shared transaction; if it fails, only its own writes are rolled back.

    A database error may come from the runs before it, which still hold their locks and temporary
    tables. The unit then ends without a result, and runs again alone.
    """
    began = database_clock.now()
    try:
        with savepoints.next():
            outcomes = call(unit)
    except AllFailed as failure:
        outcomes = failure.outcomes
        cause = _database_error(failure.error)
        if isinstance(cause, OperationalError):
            _keep_apart(unit)
        if cause is not None and savepoints.count > 1:
            outcomes = []
    if connection.needs_rollback:
        raise _Broken
    _separate_hooks()
    return Run(ended_of(unit, outcomes, began) if outcomes else ())


def _database_error(error: BaseException | None) -> DatabaseError | None:
    """Return the database error that an exception is or was raised for, or None."""
    while error is not None and not isinstance(error, DatabaseError):
        error = error.__cause__ or error.__context__
    return error


def _run_alone(unit: Unit) -> Run:
    try:
        # An OperationalError is not the handler's failure and rolls everything back, so retry.
        return retry(lambda: _try_alone(unit), "run", limit=RUN_RETRY_SECONDS)
    except ClaimLost:
        ids = [claimed.delivery.pk for claimed in unit]
        log.warning("claim lost", deliveries=ids)
        give_back(unit, called=True)
        return Run((), (), ids)


def _try_alone(unit: Unit) -> Run:
    """Raises OperationalError for a deadlock or a lost connection."""
    began = database_clock.now()
    try:
        with transaction.atomic(durable=True):
            ended = ended_of(unit, call(unit), began)
            _separate_hooks()
            return Run(ended, _settle(ended))
    except AllFailed as failure:
        outcomes = failure.outcomes
    except OperationalError:
        raise
    except DatabaseError as error:  # the commit failed, such as on a deferred constraint
        outcomes = [failed(error)] * len(unit)
    return Run(ended_of(unit, outcomes, began))


def _settle(ended: Sequence[Ended]) -> list[Follower]:
    following, lost = settle_in_transaction(ended)
    if lost:
        raise ClaimLost
    return following


def ended_of(unit: Unit, outcomes: Sequence[Outcome], began: datetime) -> list[Ended]:
    """Return the ends of a unit's runs, which began at `began` and end now."""
    now = database_clock.now()
    values: set[str] = set()
    if not all(isinstance(outcome, Succeeded) for outcome in outcomes):
        values = hidden_values(unit)
    # A batch that failed as a whole has one outcome, many times.
    by_id = {id(outcome): outcome for outcome in outcomes}
    shown = {key: masked(outcome, values) for key, outcome in by_id.items()}
    pairs = zip(unit, outcomes, strict=True)
    return [Ended(claim, shown[id(outcome)], began, now) for claim, outcome in pairs]


def _separate_hooks() -> None:
    """Have an exception of one `on_commit` hook logged, so that the hooks after it are called."""
    hooks: Any = connection.run_on_commit  # (savepoint ids, hook, whether it is robust)
    hooks[:] = [(ids, hook, True) for ids, hook, _ in hooks]


def _renew_token(claim: Claim) -> None:
    """Renew the token for handlers that call Salesforce, before their transaction begins.

    Inside the transaction, SQLite would keep the new token from being stored.
    """
    handler_clients.renew(claim.delivery.entry.listener)
