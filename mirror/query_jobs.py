"""Query jobs in Salesforce: their clients, and the abort of those that a run leaves there.

A run leaves its job when it is cancelled or starts over, or when its mirror is removed. A task
aborts the job, since none of these asks Salesforce for anything. Without the broker or Salesforce,
the job ends there, and is deleted after seven days.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import structlog
from django.db import transaction

from handlers import broker
from handlers.listener_rest_client import CANNOT_READ, bulk_of
from listeners.models import Listener
from listeners.salesforce.bulk.client import BulkClient
from listeners.salesforce.bulk.errors import ResultsExpired
from listeners.salesforce.errors import RestRefused
from listeners.salesforce.rest.client import DEFAULT_VERSION
from mirror.models import MirrorRun

log = structlog.get_logger(__name__)

TASK = "mirror.abort_job"
#: The first API version whose results have the columns in the requested order.
FIRST_VERSION = 50.0


def client_of(listener: Listener, api_version: str) -> BulkClient:
    """Return a client for jobs that were created with an API version."""
    version = api_version if float(api_version) >= FIRST_VERSION else DEFAULT_VERSION
    return bulk_of(listener, version)


def abort(client: BulkClient, job_id: str) -> None:
    """Abort a job if it runs, and delete it. Raises SalesforceError."""
    with suppress(RestRefused):  # it may have ended
        client.abort(job_id)
    with suppress(ResultsExpired):
        client.delete(job_id)


def abort_later(run: MirrorRun) -> None:
    """Have a worker abort the run's query job, if it has one. Inside the caller's transaction,
    which ends the run or starts it over: the task message is sent after its commit."""
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
