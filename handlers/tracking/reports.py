"""Reports: the messages with which the worker of another project tells how a tracked task ended.

A tracked task is sent with Celery's own callbacks, `link` and `link_error`. They are signatures of
a task named `cdc.report` that no worker has: the worker that ran the task only sends them, with the
token of the outcome as their argument, to a queue that a courier of a listener process reads.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from kombu.message import Message

from handlers.tracking.tokens import InvalidToken, Reported, Token, issue, read
from handlers.types import Claim

TASK = "cdc.report"
#: Reports that one transaction settles, at most.
BATCH = 300
#: A report is larger only if it is forged.
MAX_BYTES = 20_000
#: A worker's name is cut to the length of its column.
_LONGEST_WORKER = 255
#: The origin that a worker's process gives to the messages that it sends.
_ORIGIN = re.compile(r"gen(\d+)@(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Report:
    """The content of a valid report. `worker` is the host and process that sent it, if known."""

    token: Token
    worker: str


def reports_queue() -> str:
    """Return the queue that reports are sent to, on the broker of each destination."""
    return str(settings.CDC_REPORTS_QUEUE)


def callbacks(claim: Claim) -> dict[str, Any]:
    """Return the arguments of Celery's `as_task_v2` that make a worker report its task's end."""
    ids = claim.delivery.pk, claim.attempt
    return {
        "callbacks": [_signature(issue(*ids, Reported.SUCCEEDED))],
        "errbacks": [_signature(issue(*ids, Reported.FAILED))],
    }


def _signature(token: str) -> dict[str, Any]:
    """Return a signature as JSON, immutable so that the task's result is not added to it.

    The message goes to the queue itself, through the default exchange: with the queue's name as the
    option `queue`, some workers would add it to the queues that they consume. Celery replaces the
    routing key unless the exchange type is another than direct, and declares the worker's default
    queue unless `declare` is given.
    """
    return {
        "task": TASK,
        "args": [token],
        "kwargs": {},
        "options": {
            "exchange": "",
            "exchange_type": "topic",
            "routing_key": reports_queue(),
            "declare": [],
            "serializer": "json",
            "ignore_result": True,
        },
        "subtask_type": None,
        "immutable": True,
        "chord_size": None,
    }


def parse(message: Message) -> Report:
    """Return what a message of the reports queue says. Raises InvalidToken if it is no report of
    ours; its content is never trusted otherwise."""
    try:
        body = _body(message)
        arguments = body["args"] if isinstance(body, dict) else body[0]  # protocols 1 and 2
        [token] = arguments
    except (ValueError, TypeError, LookupError, RecursionError):
        raise InvalidToken from None
    return Report(read(token), _worker(message.headers))


def _body(message: Message) -> Any:
    """Return the JSON of a message. Raises ValueError."""
    body = message.body
    is_json = message.content_type == "application/json" and isinstance(body, str | bytes)
    if message.errors or not is_json:
        raise ValueError
    return json.loads(body)


def _worker(headers: object) -> str:
    origin = headers.get("origin") if isinstance(headers, dict) else None
    if not isinstance(origin, str):
        return ""
    origin = origin[:_LONGEST_WORKER]
    match = _ORIGIN.fullmatch(origin)
    return f"{match[2]}, process {match[1]}" if match else origin
