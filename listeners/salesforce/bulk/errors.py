"""Errors of Bulk API 2.0 query jobs, and the interpretation of refused requests.

SalesforceError
├── TransportFailed       also HTTP 406, 409, 420 and 429: send the same request again
│   └── PageIncomplete    a page has other rows than it announced: read the same page again
├── RestRefused
│   ├── BulkUnsupported   Bulk API refuses the object, its fields or the user: use REST
│   ├── BulkLimit         a limit of Bulk API is used up: use REST, or continue tomorrow
│   └── ResultsExpired    the job or its results no longer exist: create another job
└── JobFailed             the job ended without results
"""

from __future__ import annotations

import re

from listeners.salesforce.errors import (
    Reaction,
    RestRefused,
    SalesforceError,
    TransportFailed,
    quoted,
)
from listeners.salesforce.http.request import Answer
from listeners.salesforce.rest.answers import failure_of

#: Besides those of every API (`Answer.is_unavailable`): a busy server, with an empty or HTML body.
_TRANSIENT_STATUS = frozenset({409})
_TRANSIENT_CODES = frozenset({"TXN_SECURITY_METERING_ERROR", "UNABLE_TO_LOCK_ROW"})
_UNSUPPORTED_CODES = frozenset(
    {"INVALIDENTITY", "FEATURENOTENABLED", "FEATURE_NOT_ENABLED", "API_DISABLED_FOR_ORG"}
)
_UNSUPPORTED = re.compile(
    r"not supported (?:by|in) (?:the )?bulk|does not support query|implementation restriction"
    r"|bulk api is not enabled",
    re.IGNORECASE,
)
_LIMIT = re.compile(r"max bulk v2 query", re.IGNORECASE)


class PageIncomplete(TransportFailed):
    """A page has other rows than it announced. Read the same page again."""


class BulkUnsupported(RestRefused):
    """Bulk API refuses the object, its fields or the user. Use the REST API."""


class BulkLimit(RestRefused):
    """A limit of Bulk API is used up for today. Use the REST API, or continue tomorrow."""


class ResultsExpired(RestRefused):
    """The job was deleted, or its results expired after seven days. Create another job."""


class JobFailed(SalesforceError):
    """A query job ended without results. The message has Salesforce's reason, if it gave one."""

    def __init__(self, job_id: str, state: str, reason: str) -> None:
        said = quoted(reason) or "Salesforce gave no reason"
        super().__init__(
            f"The query job {job_id} ended as {state}: {said.removesuffix('.')}.",
            reaction=Reaction.RETRY,
        )
        self.state = state
        self.reason = reason


def bulk_failure_of(answer: Answer, *, is_job: bool = False) -> SalesforceError:
    """Return the error for an answer with another status than 200; `is_job`: of an existing job."""
    failure = failure_of(answer)
    if not isinstance(failure, RestRefused) or failure.error_code == "REQUEST_LIMIT_EXCEEDED":
        return failure
    code, status = failure.error_code, failure.status
    if status in _TRANSIENT_STATUS or code in _TRANSIENT_CODES:
        return TransportFailed(
            f"HTTP {status} {code}".strip(), status=status, retry_after=answer.retry_after()
        )
    kind = _kind_of(status, code, answer.text(), is_job)
    if kind is None:
        return failure
    body = answer.json_or_none()
    message = str(body[0].get("message", "")) if code else ""
    return kind(status, code, message, failure.reaction)


def _kind_of(status: int, code: str, text: str, is_job: bool) -> type[RestRefused] | None:
    if is_job and (status in (404, 410) or code == "NOT_FOUND"):
        return ResultsExpired
    if code == "LIMIT_EXCEEDED" or _LIMIT.search(text):
        return BulkLimit
    if code in _UNSUPPORTED_CODES or _UNSUPPORTED.search(text):
        return BulkUnsupported
    return None
