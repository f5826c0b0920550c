"""Aborts the query jobs that cancelled runs, and runs of removed mirrors, leave in Salesforce.

A task does it: cancelling and removing ask nothing of Salesforce. Without the broker or Salesforce,
the job ends there, and is deleted after seven days.
"""

from __future__ import annotations

from functools import partial

import structlog
from django.db import transaction

from handlers.listener_rest_client import CANNOT_READ
from handlers.outbox import broker
from listeners.models import Listener
from mirror.load.bulk import abort, client_of
from mirror.models import MirrorRun

log = structlog.get_logger(__name__)

TASK = "mirror.abort_job"


def abort_later(run: MirrorRun) -> None:
    """Have a worker abort the run's query job, if it has one. Inside the caller's transaction,
    which ends the run: the task message is sent after its commit."""
    cursor = run.cursor.get("bulk", run.cursor)  # a verification has it beside its other progress
    if job_id := cursor.get("job"):
        found = {"job_id": job_id, "api_version": cursor["api_version"]}
        start = partial(broker.start_or_leave, TASK, listener_id=run.mirror.listener_id, **found)
        transaction.on_commit(start)


def work(listener_id: int, job_id: str, api_version: str) -> None:
    """Abort and delete a query job, as far as possible. Never inside a transaction."""
    listener = Listener.objects.select_related("connection").filter(pk=listener_id).first()
    if listener is None:
        return
    try:
        abort(client_of(listener, api_version), job_id)
    except CANNOT_READ as error:
        log.warning("query job not aborted", job=job_id, listener=str(listener), reason=str(error))
