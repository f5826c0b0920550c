"""The statements that the run of a single delivery costs."""

from __future__ import annotations

from datetime import datetime

from audit.prepared import Given, Prepared, changing, prepared_cursor, stored
from handlers.models import Delivery, DeliveryAttempt
from handlers.queries import CLOCK_SKEW, begun

_BEGIN = Prepared(
    lambda: changing(
        Delivery.objects.claimable(Given("due_by")).filter(pk=Given("pk")),
        **begun(Given("now"), Given("deadline")),
    )
)
_LOAD = Prepared(
    lambda: (
        Delivery.objects.select_related("entry__listener", "mapping")
        .filter(pk=Given("pk"))
        .order_by()
    )
)
_SUCCEED = Prepared(
    lambda: changing(
        Delivery.objects.filter(pk=Given("pk"), state="running", attempts=Given("attempt")),
        state="succeeded",
        error="",
        finished_at=Given("now"),
        claim_deadline=None,
    )
)
_IS_FOLLOWED = Prepared(
    lambda: (
        Delivery.objects.filter(chain=Given("chain"), state="blocked")
        .order_by()
        .values_list("pk")[:1]
    )
)
_LOG = """
INSERT INTO handlers_deliveryattempt
    (delivery_id, number, outcome, redelivery_id, started_at, finished_at, worker, error, traceback)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


def begin(delivery_id: int, now: datetime, deadline: datetime) -> bool:
    """What `Delivery.objects.begin` does. Never inside a transaction."""
    return bool(_BEGIN.execute(pk=delivery_id, now=now, due_by=now + CLOCK_SKEW, deadline=deadline))


def load(delivery_id: int) -> Delivery | None:
    """With its entry, listener and mapping; None where it is deleted."""
    found = _LOAD.objects(pk=delivery_id)
    return found[0] if found else None


def succeed(delivery_id: int, attempt: int, now: datetime) -> bool:
    """False when the claim was lost. Inside the caller's transaction."""
    return bool(_SUCCEED.execute(pk=delivery_id, attempt=attempt, now=now))


def log(attempt: DeliveryAttempt) -> None:
    """Inside the caller's transaction."""
    head = [attempt.delivery_id, attempt.number, str(attempt.outcome), attempt.redelivery_id]
    times = stored([attempt.started_at, attempt.finished_at])
    with prepared_cursor() as cursor:
        cursor.execute(_LOG, [*head, *times, attempt.worker, attempt.error, attempt.traceback])


def is_followed(chain: str) -> bool:
    """Whether anything waits in a chain. Inside the caller's transaction."""
    return bool(chain and _IS_FOLLOWED.rows(chain=chain))
