"""A delivery's run in a worker: claim → load → run → settle."""

from __future__ import annotations

import socket
import sys
import time
import traceback
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from audit.login_troubles import report
from handlers import dispatch, registry
from handlers.endings import changes, logged
from handlers.events import EventData
from handlers.heartbeat import Running, deadline, heartbeat
from handlers.models import Delivery, DeliveryAttempt
from handlers.outcomes import Failed, Outcome, Retry, Skipped, Succeeded
from handlers.registry import Handler
from listeners import milestones

log = structlog.get_logger(__name__)

#: Seconds between the tries to write an outcome down, while the database does not answer.
SETTLE_PAUSES = (0.2, 1.0, 3.0, 5.0, 10.0)


class ClaimLost(Exception):
    """Another worker was given this delivery; what this one did is rolled back or not counted."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to run one attempt of one delivery, until its deadline."""

    delivery: Delivery
    attempt: int
    started_at: datetime

    @property
    def counted(self) -> int:
        """The attempts that count against the limit: those since it was last redelivered."""
        return self.attempt - self.delivery.attempts_before


def run_delivery(delivery_id: int) -> str:
    """Run a delivery once, if it is there to be run; says how it ended. Never inside a transaction.

    A message that came twice, or too late, finds nothing to claim and ends as `not claimed`.
    """
    claim = _claim(delivery_id)
    if claim is None:
        return "not claimed"
    try:
        with heartbeat.of(Running(delivery_id, claim.attempt, claim.started_at)):
            outcome, following = _run_and_settle(claim)
    except ClaimLost:
        log.warning("claim lost", delivery=delivery_id, attempt=claim.attempt)
        return "claim lost"
    milestones.reach("ended")
    _publish(following)
    return type(outcome).__name__.lower()


def _claim(delivery_id: int) -> Claim | None:
    now = timezone.now()
    if not Delivery.objects.begin(delivery_id, now, deadline(now, now)):
        Delivery.objects.set_aside([delivery_id])  # where that is because its mapping is paused
        return None
    milestones.reach("claimed")
    delivery = Delivery.objects.select_related("entry__listener", "mapping").get(pk=delivery_id)
    # Read after the claim was committed: what a pause did not see running does not begin.
    if delivery.mapping is not None and delivery.mapping.paused_at is not None:
        Delivery.objects.give_back(delivery_id, delivery.attempts)
        return None
    return Claim(delivery, delivery.attempts, now)


def _run_and_settle(claim: Claim) -> tuple[Outcome, int | None]:
    handler = registry.find(claim.delivery.handler)
    if handler is not None and handler.atomic:
        return _run_atomically(claim, handler)
    outcome = _run(claim, handler)
    return outcome, _settled(claim, outcome)


def _settled(claim: Claim, outcome: Outcome) -> int | None:
    """Settle in a transaction. The work is done: a connection that was cut is made anew for it."""
    for pause in SETTLE_PAUSES:
        try:
            with transaction.atomic():
                return settle(claim, outcome)
        except (OperationalError, InterfaceError) as error:
            log.warning("settled later", delivery=claim.delivery.pk, reason=str(error).strip())
            connection.close()
            time.sleep(pause)
    with transaction.atomic():
        return settle(claim, outcome)


def _run_atomically(claim: Claim, handler: Handler) -> tuple[Outcome, int | None]:
    """The handler's writes and the success in one transaction; a failure rolls both back."""
    _renew_token(claim)
    for pause in SETTLE_PAUSES:
        try:
            return _try_atomically(claim, handler)
        except OperationalError as error:  # not the handler's failure, and all of it is undone
            log.warning("run anew", delivery=claim.delivery.pk, reason=str(error).strip())
            connection.close()
            time.sleep(pause)
    return _try_atomically(claim, handler)


def _try_atomically(claim: Claim, handler: Handler) -> tuple[Outcome, int | None]:
    """Raises OperationalError when the database broke it off: a deadlock, or it went away."""
    try:
        with transaction.atomic():
            outcome = _run(claim, handler)
            if not isinstance(outcome, Failed):
                return outcome, settle(claim, outcome)
            raise _RolledBack(outcome)
    except _RolledBack as rolled_back:
        outcome = rolled_back.outcome
    except OperationalError:
        raise
    except DatabaseError as error:  # the commit itself was refused: a deferred constraint
        outcome = Failed(f"{type(error).__name__}: {error}", traceback.format_exc())
    return outcome, _settled(claim, outcome)


def _renew_token(claim: Claim) -> None:
    """For handlers that call Salesforce back: not from inside their transaction, which on SQLite
    would keep the new token from being stored."""
    clients = sys.modules.get("listeners.clients")  # where nobody called back, nothing is loaded
    if clients is not None:
        clients.renew(claim.delivery.entry.listener, report)


class _RolledBack(Exception):
    """Carries a failure out of the transaction that it undoes."""

    def __init__(self, outcome: Failed) -> None:
        self.outcome = outcome
        super().__init__(outcome.error)


def _run(claim: Claim, handler: Handler | None) -> Outcome:
    delivery = claim.delivery
    if delivery.mapping is None:
        return Skipped("its handler mapping was deleted")
    if handler is None:
        return Failed(f"no handler is registered under the name {delivery.handler!r}")
    event = EventData.of(delivery.entry, attempt=claim.attempt, options=delivery.mapping.options)
    # A handler may raise anything: whatever it is ends the attempt and is kept with it.
    try:
        result = handler(event)
    except Retry as retry:
        return Failed(str(retry), after=retry.after, kind="retry")
    except Exception as error:
        return Failed(f"{type(error).__name__}: {error}", traceback.format_exc())
    milestones.reach("handled")
    return result if isinstance(result, Skipped) else Succeeded()


def settle(claim: Claim, outcome: Outcome) -> int | None:
    """Write how a run ended and make the next of its chain ready; that one's id.

    Inside the caller's transaction. Raises ClaimLost when the delivery is no longer this claim's.
    """
    now = timezone.now()
    delivery = claim.delivery
    won = Delivery.objects.settle(
        delivery.pk, claim.attempt, **changes(claim.delivery, outcome, claim.counted, now)
    )
    if not won:
        raise ClaimLost
    DeliveryAttempt.objects.create(
        delivery=delivery,
        number=claim.attempt,
        started_at=claim.started_at,
        finished_at=now,
        worker=socket.gethostname(),
        redelivery_id=delivery.redelivery_id,
        **logged(outcome),
    )
    following: int | None = Delivery.objects.promote(delivery.chain)
    milestones.reach("settled")
    return following


def _publish(following: int | None) -> None:
    if following is not None:
        dispatch.publish_or_leave([following], timezone.now())
