"""A client of Bulk API 2.0 query jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import requests

from listeners.backoff import Backoff
from listeners.salesforce.bulk.errors import bulk_failure_of
from listeners.salesforce.bulk.jobs import QueryJob
from listeners.salesforce.bulk.pages import Page
from listeners.salesforce.errors import TransportFailed
from listeners.salesforce.http.answer_limits import ORG
from listeners.salesforce.http.body_stream import Body, open_exchange
from listeners.salesforce.http.request import Answer, BearerAuth, Timeout
from listeners.salesforce.rest.answers import typed, usage_of
from listeners.salesforce.rest.client import DEFAULT_VERSION
from listeners.salesforce.rest.org_requests import OrgRequests
from listeners.salesforce.tokens.tokens import Tokens

Result = TypeVar("Result")

#: Requests of one call, when the server cannot answer now.
TRIES = 4
#: The longest pause between two tries; the caller waits longer than that.
LONGEST_PAUSE = 15.0
_BACKOFF = Backoff(0.5, LONGEST_PAUSE)


class BulkClient(OrgRequests):
    """Sends requests to ``{instance}/services/data/v…/jobs/query``.

    Each method may raise ``LoginRefused``, ``LoginUnavailable`` and the errors of ``bulk.errors``.
    A request that the server cannot answer now is sent a few times.
    """

    def __init__(
        self,
        tokens: Tokens,
        api_version: str = DEFAULT_VERSION,
        timeout: Timeout = (10.0, 60.0),
        *,
        http: requests.Session | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(tokens, timeout, http)
        self._jobs = f"/services/data/v{api_version}/jobs/query"
        self._sleep = sleep

    def create(self, soql: str, *, deleted: bool = False) -> QueryJob:
        """Create a job; with `deleted`, its results include the Recycle Bin and archived records.

        Not sent again when the connection is cut: the job may have been created.
        """
        body = {
            "operation": "queryAll" if deleted else "query",
            "query": soql,
            "contentType": "CSV",
            "columnDelimiter": "COMMA",
            "lineEnding": "LF",
        }
        return QueryJob.of(typed(self._retried(lambda: self._send("POST", "", body)), dict))

    def job(self, job_id: str) -> QueryJob:
        """Return the job's state. Raises ResultsExpired when it no longer exists."""
        return QueryJob.of(typed(self._retried(lambda: self._send("GET", job_id)), dict))

    def abort(self, job_id: str) -> QueryJob:
        """Abort a running job."""
        body = {"state": "Aborted"}
        return QueryJob.of(typed(self._retried(lambda: self._send("PATCH", job_id, body)), dict))

    def delete(self, job_id: str) -> None:
        """Delete an ended job with its results."""
        self._retried(lambda: self._send("DELETE", job_id))

    @contextmanager
    def page(
        self, job_id: str, columns: Sequence[str], *, locator: str = "", most: int = 0
    ) -> Iterator[Page]:
        """Open a page of a complete job's results, from `locator` on, with up to `most` records.

        The same page can be read again. Raises ResultsExpired when it no longer exists.
        """
        wanted = {"locator": locator} if locator else {}
        if most:
            wanted["maxRecords"] = str(most)
        path = f"{self._jobs}/{quote(job_id, safe='')}/results"
        path += f"?{urlencode(wanted)}" if wanted else ""
        for attempt in range(1, TRIES + 1):
            with self._open(path) as found:
                if isinstance(found, Body):
                    yield Page(found, columns)
                    return
                failure = bulk_failure_of(found, is_job=True)
            if not isinstance(failure, TransportFailed) or attempt == TRIES:
                raise failure
            self._pause(failure, attempt)

    @contextmanager
    def _open(self, path: str) -> Iterator[Body | Answer]:
        """Open a path, and once more with a new token if the token was refused."""
        headers = {"Accept": "text/csv", "Accept-Encoding": "gzip"}
        for is_last in (False, True):
            token = self._tokens.get()
            with open_exchange(
                self._http,
                f"{token.instance_url}{path}",
                auth=BearerAuth(token.access_token),
                timeout=self._timeout,
                headers=headers,
            ) as found:
                self.usage = usage_of(found) or self.usage
                if is_last or not isinstance(found, Answer) or found.status != 401:
                    yield found
                    return
            self._tokens.invalidate(token)

    def _retried(self, send: Callable[[], Answer]) -> Answer:
        for attempt in range(1, TRIES):
            try:
                return send()
            except TransportFailed as failure:
                if failure.status is None and failure.was_sent:
                    raise
                self._pause(failure, attempt)
        return send()

    def _pause(self, failure: TransportFailed, attempt: int) -> None:
        """Wait before the next try. Raises the failure when the server asks for a longer pause."""
        if (failure.retry_after or 0.0) > LONGEST_PAUSE:
            raise failure
        self._sleep(failure.retry_after or _BACKOFF.delay(attempt))

    def _send(self, method: str, job_id: str, body: dict[str, Any] | None = None) -> Answer:
        path = f"{self._jobs}/{quote(job_id, safe='')}" if job_id else self._jobs
        answer = self._request(method, path, body, ORG)
        if answer.status in (200, 201, 204):
            return answer
        raise bulk_failure_of(answer, is_job=bool(job_id))
