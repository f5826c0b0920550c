"""The statements that every run costs, written out: Django takes longer to put them together than
the database to execute them. All inside the caller's transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connection

from handlers.models import DeliveryAttempt

_SUCCEED = """
UPDATE handlers_delivery
SET state = 'succeeded', error = '', finished_at = %s, claim_deadline = NULL
WHERE id = %s AND state = 'running' AND attempts = %s
"""
_LOG = """
INSERT INTO handlers_deliveryattempt
    (delivery_id, number, outcome, redelivery_id, started_at, finished_at, worker, error, traceback)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_IS_FOLLOWED = "SELECT 1 FROM handlers_delivery WHERE chain = %s AND state = 'blocked' LIMIT 1"


def succeed(delivery_id: int, attempt: int, now: datetime) -> bool:
    """False when the claim was lost."""
    return bool(_execute(_SUCCEED, [_stored(now), delivery_id, attempt]))


def log(attempt: DeliveryAttempt) -> None:
    times = _stored(attempt.started_at), _stored(attempt.finished_at)
    head = [attempt.delivery_id, attempt.number, str(attempt.outcome), attempt.redelivery_id]
    _execute(_LOG, [*head, *times, attempt.worker, attempt.error, attempt.traceback])


def is_followed(chain: str) -> bool:
    """Whether anything waits in a chain."""
    if not chain:
        return False
    with connection.cursor() as cursor:
        cursor.execute(_IS_FOLLOWED, [chain])
        return cursor.fetchone() is not None


def _execute(sql: str, values: list[Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return int(cursor.rowcount)


def _stored(moment: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(moment)
