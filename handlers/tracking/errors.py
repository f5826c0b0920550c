"""The errors of failed tasks, from a destination's result backend.

What it holds was written by another project: nothing of it is trusted, and none of it keeps a
report from being settled.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from time import monotonic
from typing import Any

import structlog
from redis.exceptions import RedisError

from handlers.broker import BrokerUnavailable
from handlers.external import apps
from handlers.models import Destination
from handlers.sdk.outcomes import Failed

log = structlog.get_logger(__name__)

#: Results with more bytes are not read.
MAX_BYTES = 1_000_000
_MAX_TYPE = 200
#: Seconds without an attempt after a failure: reports are not settled while one that does not
#: answer is waited for.
PAUSE_SECONDS = 30.0
paused_until: dict[int, float] = {}


def errors_of(task_ids: Sequence[str], destination: Destination | None) -> dict[str, Failed]:
    """Return the errors that the destination's result backend has, by task id.

    Without a result backend, or if it does not answer, returns an empty dictionary.
    """
    if not task_ids or destination is None or not destination.result_backend:
        return {}
    if monotonic() < paused_until.get(destination.pk, 0.0):
        return {}
    try:
        found = _results(task_ids, destination)
    except Exception as error:  # noqa: BLE001  of another project: anything may come from it
        paused_until[destination.pk] = monotonic() + PAUSE_SECONDS
        # The text of an unexpected error may have secrets.
        is_expected = isinstance(error, (BrokerUnavailable, RedisError, OSError))
        reason = str(error) if is_expected else type(error).__name__
        log.warning("result backend unavailable", destination=destination.name, reason=reason)
        return {}
    errors = {task_id: _error(content) for task_id, content in zip(task_ids, found, strict=True)}
    return {task_id: error for task_id, error in errors.items() if error is not None}


def _results(task_ids: Sequence[str], destination: Destination) -> Sequence[object]:
    backend = apps.app_of(destination).backend
    try:
        pipeline = backend.client.pipeline(transaction=False)
        for task_id in task_ids:
            pipeline.getrange(backend.get_key_for_task(task_id), 0, MAX_BYTES)
        found: Sequence[object] = pipeline.execute(raise_on_error=False)
        return found
    finally:
        backend.client.connection_pool.disconnect()


def _error(content: object) -> Failed | None:
    """Return the error of a failed task's result in Celery's JSON form, or None."""
    try:
        meta: Any = json.loads(content if isinstance(content, bytes | str) else "")
        error: Any = meta["result"]
        kind = str(error["exc_type"])[:_MAX_TYPE]
        module = error.get("exc_module") or ""
        message = error["exc_message"]
        trace = meta.get("traceback")
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    text = ", ".join(map(str, message)) if isinstance(message, list) else str(message)
    is_builtin = module in ("", "builtins")
    full_name = kind if is_builtin else f"{module}.{kind}"[:_MAX_TYPE]
    traceback = trace if isinstance(trace, str) else ""
    return Failed(f"{kind}: {text}", traceback, type=full_name)
