"""Converts failed gRPC calls to errors with a reaction.

gRPC's exceptions never become the context of these errors, because they may quote secrets.
"""

from __future__ import annotations

import re

import grpc
from grpc.aio import AioRpcError

from listeners.salesforce.errors import (
    PositionDeleted,
    Reaction,
    ReplayLost,
    SalesforceError,
    StreamRefused,
    TransportFailed,
    status_reaction,
)

# The statuses that gRPC itself reports when the server does not answer.
_UNANSWERED = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})
_NO_SUCH_SCHEMA = frozenset({grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT})
_INVALID_SCHEMA = "schema.validation.failed"
# Words in codes of schemas that are hidden or temporarily unavailable, rather than unknown.
_NOT_THAT = ("permission", "unavailable")


class CallFailed(Exception):
    """A call of ``method`` failed; ``code`` is the ``error-code`` trailer, or empty."""

    def __init__(self, method: str, status: grpc.StatusCode, code: str, details: str) -> None:
        super().__init__(method)
        self.method = method
        self.status = status
        self.code = code
        self.details = details

    @property
    def is_answer(self) -> bool:
        """Whether the server answered, as opposed to gRPC reporting that it did not."""
        return bool(self.code) or self.status not in _UNANSWERED

    @property
    def is_too_large(self) -> bool:
        """Whether gRPC refused a message because of its size, which only its text shows."""
        is_limit = self.status is grpc.StatusCode.RESOURCE_EXHAUSTED and not self.code
        return is_limit and "message larger than max" in self.details

    @property
    def is_unknown_schema(self) -> bool:
        """Whether the requested schema does not exist, by the code or else the status."""
        if self.code.endswith(_INVALID_SCHEMA):
            return True
        has_other_cause = self.code and ".schema." not in self.code
        has_other_cause = has_other_cause or any(word in self.code for word in _NOT_THAT)
        return self.status in _NO_SUCH_SCHEMA and not has_other_cause

    def error(self, *, has_worked: bool = False) -> SalesforceError:
        """Return the error. ``has_worked``: the call had received something before it failed."""
        reaction = classify(self.status.name, self.code or None, self.details)
        if has_worked and reaction is Reaction.CONFIGURATION and not self.code:
            # Without a code, the error is not Salesforce's, and reopening the stream may succeed.
            reaction = Reaction.REHANDSHAKE
        reason = f"{self.details} ({self.code})" if self.code else self.details
        if reaction is Reaction.REPLAY_LOST:
            return ReplayLost(self.method, reason)
        if reaction is Reaction.RETRY and not self.code:
            return TransportFailed(f"{self.method}: {self.status.name}: {self.details}")
        kind = PositionDeleted if deletes_position(self.code, self.details) else StreamRefused
        return kind(self.method, self.details, reaction, code=self.code or self.status.name)


def failure_of(method: str, error: AioRpcError, secret: str) -> CallFailed:
    """Return the failure of a call; ``secret``, the access token, is removed from its texts."""
    trailers = dict(error.trailing_metadata() or ())
    code = trailers.get("error-code", "")
    return CallFailed(
        method,
        error.code(),
        _hidden(code if isinstance(code, str) else code.decode("latin-1"), secret),
        _hidden(error.details() or "", secret),
    )


def _hidden(text: str, secret: str) -> str:
    return text.replace(secret, "...") if secret else text


_PREFIX = "sfdc.platform.eventbus.grpc."
_CODE_WITHIN = re.compile(rf"{re.escape(_PREFIX)}[a-z]+(?:\.[a-z]+)*", re.ASCII | re.IGNORECASE)

# Codes that Salesforce documents, and codes that its clients have received.
_BY_CODE: dict[str, Reaction] = {
    "service.unavailable": Reaction.RETRY,
    "service.auth.error": Reaction.NEW_TOKEN,
    "service.auth.headers.invalid": Reaction.CONFIGURATION,
    "service.auth.refresh.invalid": Reaction.CONFIGURATION,
    "service.protection.triggered": Reaction.BACK_OFF_LONG,
    "service.protection.stream.limit.triggered": Reaction.BACK_OFF_LONG,
    "service.tenant.license": Reaction.CONFIGURATION,
    "concurrent.client.limit.exceeded": Reaction.BACK_OFF_LONG,
    "topic.not.found": Reaction.CONFIGURATION,
    "topic.meta.permission": Reaction.CONFIGURATION,
    "topic.api.unavailable": Reaction.RETRY,
    "topic.validation.empty": Reaction.CONFIGURATION,
    "schema.meta.permission": Reaction.CONFIGURATION,
    "schema.api.unavailable": Reaction.RETRY,
    "schema.validation.failed": Reaction.CONFIGURATION,
    "subscription.fetch.replayid.corrupted": Reaction.REPLAY_LOST,
    "subscription.fetch.replayid.validation.failed": Reaction.REPLAY_LOST,
    "subscription.fetch.replay.repeated": Reaction.REHANDSHAKE,
    "subscription.limit.exceeded": Reaction.QUOTA,
    "subscription.fetch.overflow": Reaction.REHANDSHAKE,
    "subscription.fetch.requested.events.invalid": Reaction.CONFIGURATION,
    "subscription.fetch.topic.mismatch": Reaction.CONFIGURATION,
    "subscription.fetch.request.invalid": Reaction.CONFIGURATION,
    "subscription.topic.cannot.subscribe": Reaction.CONFIGURATION,
    "subscription.internal.error": Reaction.RETRY,
    "publish.stream.sweeper.timeout": Reaction.REHANDSHAKE,
    # The stream of a process that crashed stays active for a while, and its successor must wait.
    "managed.subscription.already.active": Reaction.RETRY,
    "managed.subscription.config.stopped": Reaction.BACK_OFF_LONG,  # until an admin starts it
    "managed.subscription.config.deleted": Reaction.CONFIGURATION,
    "managed.subscription.developer.name.not.found": Reaction.CONFIGURATION,
    "managed.subscription.subscription.id.not.found": Reaction.CONFIGURATION,
    "managed.subscription.subscription.id.invalid": Reaction.CONFIGURATION,
}

#: Salesforce deletes the committed position of a subscription that is stopped or deleted. One that
#: is not found may be created again, under the same name.
_DELETES_POSITION = frozenset(
    {
        "managed.subscription.config.stopped",
        "managed.subscription.config.deleted",
        "managed.subscription.developer.name.not.found",
    }
)

# Words in unknown codes, such as those of later releases: the first match wins.
_BY_WORDS: tuple[tuple[str, Reaction], ...] = (
    ("unavailable", Reaction.RETRY),
    ("internal.error", Reaction.RETRY),
    ("timeout", Reaction.RETRY),
    ("already.active", Reaction.RETRY),
    ("replayid", Reaction.REPLAY_LOST),
    ("auth.error", Reaction.NEW_TOKEN),
    ("limit", Reaction.BACK_OFF_LONG),
    ("protection", Reaction.BACK_OFF_LONG),
)

# All other statuses are temporary: UNAVAILABLE, INTERNAL, UNKNOWN, ABORTED…
_BY_STATUS: dict[str, Reaction] = {
    "UNAUTHENTICATED": Reaction.NEW_TOKEN,
    "RESOURCE_EXHAUSTED": Reaction.BACK_OFF_LONG,
    "FAILED_PRECONDITION": Reaction.BACK_OFF_LONG,
    "ALREADY_EXISTS": Reaction.BACK_OFF_LONG,
    "OUT_OF_RANGE": Reaction.BACK_OFF_LONG,
    "PERMISSION_DENIED": Reaction.CONFIGURATION,
    "NOT_FOUND": Reaction.CONFIGURATION,
    "INVALID_ARGUMENT": Reaction.CONFIGURATION,
    "UNIMPLEMENTED": Reaction.CONFIGURATION,
}
#: gRPC's text when an HTTP server answered in place of the API, such as a proxy or an edge.
_HTTP_STATUS = re.compile(r"http2 header with status: (\d{3})\b", re.ASCII | re.IGNORECASE)


def classify(status: str, error_code: str | None, details: str) -> Reaction:
    """Return the reaction to a refused call, by its code or else its gRPC status.

    ``status`` is the name of the status, such as UNAVAILABLE. ``error_code`` is the trailer; if it
    is missing, ``details`` is searched for a code. An unknown code never stops the listener.
    """
    code = _code(error_code, details)
    if code is None:
        if _says_replay_lost(details):
            return Reaction.REPLAY_LOST
        reaction = _BY_STATUS.get(status, Reaction.RETRY)
        if reaction is Reaction.CONFIGURATION and (http := _HTTP_STATUS.search(details)):
            return status_reaction(int(http[1]), ())
        return reaction
    return _BY_CODE.get(code) or _of_unknown(status, code)


def deletes_position(error_code: str | None, details: str) -> bool:
    """Return whether a refusal says that Salesforce keeps no position of a managed subscription."""
    return _code(error_code, details) in _DELETES_POSITION


def _code(error_code: str | None, details: str) -> str | None:
    """Return the code without Salesforce's common prefix; None if there is no code."""
    code = (error_code or "").strip()
    if not code and (within := _CODE_WITHIN.search(details)):
        code = within[0]
    return code.casefold().removeprefix(_PREFIX) or None


def _says_replay_lost(details: str) -> bool:
    words = details.casefold()
    names_it = "replay id" in words or "replayid" in words
    return names_it and ("validation failed" in words or "corrupted" in words)


def _of_unknown(status: str, code: str) -> Reaction:
    for words, reaction in _BY_WORDS:
        if words in code:
            return reaction
    reaction = _BY_STATUS.get(status, Reaction.RETRY)
    return Reaction.BACK_OFF_LONG if reaction is Reaction.CONFIGURATION else reaction
