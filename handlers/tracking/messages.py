"""Composes the messages of external deliveries."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import structlog

from handlers import tracing
from handlers.external.payload import PayloadRefused, payload_of
from handlers.models import Delivery
from handlers.sdk.events import EventData, Present
from handlers.sdk.outcomes import Failed, Outcome, Skipped, failed
from handlers.sdk.registry import queue_of
from handlers.types import Message
from listeners.clock import database_clock

log = structlog.get_logger(__name__)


def message_of(
    delivery: Delivery,
    attempt: int,
    overtaken: Present | Skipped | Failed | None,
    *,
    deadline: datetime | None = None,
    **options: Any,
) -> Message | Outcome:
    """Return the message of an attempt, or the outcome of one that is not sent.

    The delivery has its entry, listener and mapping loaded. A worker discards the task after
    `deadline`, so that it does not run beside a later attempt. `options` are of `as_task_v2`.
    """
    if isinstance(overtaken, Skipped | Failed):
        return overtaken
    event = EventData.of(delivery.entry, attempt=attempt, present=overtaken)
    try:
        payload = payload_of(delivery, event)
    except PayloadRefused as refused:
        return Failed(str(refused), is_final=True)
    except Exception as error:  # one broken payload must not hold up the others
        log.exception("payload cannot be composed", delivery=delivery.pk)
        return failed(error)
    headers = tracing.spans.headers(delivery) if tracing.spans is not None else {}
    return Message(
        [delivery.pk],
        attempt - 1,
        delivery.handler,
        queue_of(delivery.handler, delivery.queue, is_external=True),
        payload.kwargs,
        payload.headers | (headers or {}),
        is_external=True,
        args=payload.args,
        options={**options, "expires": _expires(payload.expires, deadline)},
        priority=payload.priority,
        size=payload.size,
    )


def _expires(seconds: int | None, deadline: datetime | None) -> datetime | None:
    ends = [] if deadline is None else [deadline]
    if seconds is not None:
        ends.append(database_clock.now() + timedelta(seconds=seconds))
    return min(ends, default=None)
