"""Log lines for failed attempts, in place of Celery's lines, which report success."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

import structlog
from django.db import transaction

from handlers.models import Delivery
from handlers.sdk import registry
from handlers.sdk.outcomes import Failed
from handlers.types import Ended

log = structlog.get_logger(__name__)

_CELERYS = "celery.app.trace"


def log_after_commit(ended: Ended, changes: Mapping[str, Any]) -> None:
    """Log a failed or lost attempt after the commit. Inside a transaction."""
    if isinstance(ended.outcome, Failed):
        transaction.on_commit(partial(_log, ended, ended.outcome, changes))


def _log(ended: Ended, outcome: Failed, changes: Mapping[str, Any]) -> None:
    delivery, attempt = ended.claim.delivery, ended.claim.attempt
    is_dead = changes["state"] == Delivery.State.DEAD
    fields: dict[str, Any] = {
        "listener": delivery.entry.listener.name,
        "handler": delivery.handler,
        "delivery": delivery.pk,
        "attempt": attempt,
        "entity": delivery.entry.entity_name,
        "record": delivery.entry.record_id,
        "state": str(changes["state"]),
    }
    if not is_dead:
        fields["next_retry"] = changes["due_at"].isoformat(timespec="seconds")
    if outcome.kind == "lost":
        then = "no attempts left" if is_dead else "will retry"
        log.warning(f"handler run lost: worker stopped responding; {then}", **fields)
        return
    # Without the exception's text, which may contain field values. The attempt's row has it.
    fields["error"] = "Retry" if outcome.kind == "retry" else outcome.type or outcome.error
    if outcome.at:
        fields["at"] = outcome.at
    level = logging.INFO if outcome.kind == "retry" and not is_dead else logging.WARNING
    log.log(level, f"attempt {attempt} of delivery {delivery.pk} failed", **fields)


def silence_celerys_success() -> None:
    """Drop Celery's "succeeded" lines for handlers: Celery counts a failed attempt as a success."""
    logging.getLogger(_CELERYS).addFilter(_is_of_another_task)


def _is_of_another_task(record: logging.LogRecord) -> bool:
    about: Any = record.args
    is_success = isinstance(about, dict) and "return_value" in about
    return not (is_success and registry.find(str(about["name"])))
