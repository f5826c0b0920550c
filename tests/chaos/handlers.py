"""Handlers that write their effects to a table of their own, and fail at random."""

import random

from django.db import connection, transaction

from handlers import BatchFailed, EventData, Retry, Skipped, cdc_handler

ATOMIC = "chaos.atomic"
BATCH = "chaos.batch"
PLAIN = "chaos.plain"
TABLE = """
CREATE TABLE chaos_effect (
    id bigserial PRIMARY KEY,
    handler text NOT NULL,
    entry_id bigint NOT NULL,
    attempt integer NOT NULL
)
"""


class Chance(Exception):
    """A random failure of an attempt."""


@cdc_handler(name=ATOMIC, atomic=True, max_attempts=1000)
def atomic(event: EventData) -> None:
    """Write an effect that counts only if its delivery succeeds."""
    _work(event, ATOMIC)


@cdc_handler(name=BATCH, atomic=True, batch=20, max_attempts=1000)
def batch(events: list[EventData]) -> None:
    """Write such an effect for each of many changes; some of them fail, and sometimes all."""
    _fail(float(events[0].options["failure_rate"]) / 2)
    errors: dict[EventData | int, Exception | Skipped | str] = {}
    for event in events:
        try:
            with transaction.atomic():
                _work(event, BATCH)
        except (Retry, Chance) as error:
            errors[event] = error
    if errors:
        raise BatchFailed(errors)


@cdc_handler(name=PLAIN, max_attempts=1000)
def plain(event: EventData) -> None:
    """Write an effect in each attempt that does not fail before."""
    _work(event, PLAIN)


def _work(event: EventData, handler: str) -> None:
    rate = float(event.options["failure_rate"])
    _fail(rate / 2)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO chaos_effect (handler, entry_id, attempt) VALUES (%s, %s, %s)",
            [handler, event.id, event.attempt],
        )
    _fail(rate / 2)


def _fail(rate: float) -> None:
    drawn = random.random()
    if drawn < rate / 2:
        raise Retry("by chance", after=0.1)
    if drawn < rate:
        raise Chance("by chance")
