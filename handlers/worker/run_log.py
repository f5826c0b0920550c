"""Log lines of runs: those of handlers name their delivery, and failed attempts are logged.

Celery's own lines would report a failed attempt as a success.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from traceback import walk_tb
from typing import Any

import structlog
from django.db import transaction
from structlog.contextvars import bound_contextvars

from handlers.models import Delivery
from handlers.sdk import registry
from handlers.sdk.outcomes import Failed
from handlers.sdk.registry import Handler
from handlers.types import Ended, Unit

log = structlog.get_logger(__name__)


def log_after_commit(ended: Ended, changes: Mapping[str, Any]) -> None:
    """Log a failed or lost attempt after the commit. Inside a transaction."""
    if isinstance(ended.outcome, Failed):
        transaction.on_commit(partial(_log, ended, ended.outcome, changes))


def _log(ended: Ended, outcome: Failed, changes: Mapping[str, Any]) -> None:
    claim = ended.claim
    is_dead = changes["state"] == Delivery.State.DEAD
    fields: dict[str, Any] = {**_fields([claim]), "state": str(changes["state"])}
    if not is_dead:
        fields["next_retry"] = changes["due_at"].isoformat(timespec="seconds")
    then = "no attempts left" if is_dead else "will retry"
    if outcome.kind == "lost":
        log.warning(f"handler run lost: worker stopped responding; {then}", **fields)
        return
    if outcome.kind == "unknown":
        log.warning(f"outcome of an external task unknown: no report in time; {then}", **fields)
        return
    # Without the exception's text, which may contain field values. The attempt's row has it.
    fields["error"] = "Retry" if outcome.kind == "retry" else outcome.type or outcome.error
    if outcome.at:
        fields["at"] = outcome.at
    level = logging.INFO if outcome.kind == "retry" and not is_dead else logging.WARNING
    log.log(level, f"attempt {claim.attempt} of delivery {claim.delivery.pk} failed", **fields)


def silence_celerys_success() -> None:
    """Drop Celery's "succeeded" lines for handlers: Celery counts a failed attempt as a success."""
    logging.getLogger("celery.app.trace").addFilter(_is_of_another_task)


def _is_of_another_task(record: logging.LogRecord) -> bool:
    about: Any = record.args
    is_success = isinstance(about, dict) and "return_value" in about
    return not (is_success and registry.find(str(about["name"])))


def naming(unit: Unit) -> AbstractContextManager[None]:
    """Bind the delivery to log lines as `about`, a callable that cdcproject.conf.logging calls.

    The names are computed only when a line is written, since few runs log anything.
    """
    return bound_contextvars(about=partial(_fields, unit))


def place_of(error: BaseException, handler: Handler[Any]) -> str:
    """Return `file:line` of an exception, if possible the last line in the handler's own file."""
    frames = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    code = getattr(inspect.unwrap(handler.function), "__code__", None)
    own = [frame for frame in frames if code is not None and frame[0] == code.co_filename]
    path, line = (own or frames)[-1]
    return f"{path}:{line}"


def _fields(unit: Unit) -> dict[str, Any]:
    """Return the fields of a delivery; for a batch those of the first one, and the batch's size."""
    delivery = unit[0].delivery
    fields = {
        "listener": delivery.entry.listener.name,
        "handler": delivery.handler,
        "delivery": delivery.pk,
    }
    if len(unit) > 1:
        return {**fields, "deliveries": len(unit)}
    return {
        **fields,
        "attempt": unit[0].attempt,
        "entity": delivery.entry.entity_name,
        "record": delivery.entry.record_id,
    }
