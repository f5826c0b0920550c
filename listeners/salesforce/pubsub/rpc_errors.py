"""From a call that failed to the error that says what to do.

gRPC's own exceptions are dropped here, and never the context of ours: what they quote is not in
this side's hands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import grpc
from grpc.aio import AioRpcError

from listeners.salesforce.errors import (
    PubSubRefused,
    Reaction,
    ReplayLost,
    SalesforceError,
    TransportFailed,
)

# What gRPC itself says when nobody answers.
_UNANSWERED = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})
_NO_SUCH_SCHEMA = frozenset({grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT})
_INVALID_SCHEMA = "schema.validation.failed"
# Codes that say more than such a status: the schema is hidden, or can't be had just now.
_NOT_THAT = ("permission", "unavailable")


@dataclass(frozen=True, slots=True)
class Failure:
    """How a call of ``method`` ended; ``code`` is the ``error-code`` trailer, or empty."""

    method: str
    status: grpc.StatusCode
    code: str
    details: str

    @property
    def is_answer(self) -> bool:
        """The server said it, and not this side that none came."""
        return bool(self.code) or self.status not in _UNANSWERED

    @property
    def is_too_large(self) -> bool:
        """This side refused the message: gRPC says so in words alone, and before it has read it or
        when it has decompressed it."""
        is_limit = self.status is grpc.StatusCode.RESOURCE_EXHAUSTED and not self.code
        return is_limit and "message larger than max" in self.details

    @property
    def is_unimplemented(self) -> bool:
        return self.status is grpc.StatusCode.UNIMPLEMENTED

    @property
    def is_unknown_schema(self) -> bool:
        """The schema that was asked for does not exist: the code says so, else the status."""
        if self.code.endswith(_INVALID_SCHEMA):
            return True
        says_more = self.code and ".schema." not in self.code
        says_more = says_more or any(word in self.code for word in _NOT_THAT)
        return self.status in _NO_SUCH_SCHEMA and not says_more

    def error(self, *, has_worked: bool = False) -> SalesforceError:
        """``has_worked``: before this the same call brought something."""
        reaction = classify(self.status.name, self.code or None, self.details)
        if has_worked and reaction is Reaction.CONFIGURATION and not self.code:
            # Salesforce gives codes. If it is not something in between, opening again says so.
            reaction = Reaction.REHANDSHAKE
        said = f"{self.details} ({self.code})" if self.code else self.details
        if reaction is Reaction.REPLAY_LOST:
            return ReplayLost(self.method, said)
        if reaction is Reaction.RETRY and not self.code:
            return TransportFailed(f"{self.method}: {self.status.name}: {self.details}")
        return PubSubRefused(self.method, self.code or self.status.name, self.details, reaction)


def failure_of(method: str, error: AioRpcError, secret: str) -> Failure:
    """``secret`` is the access token: it is hidden where a server repeats it."""
    trailers = dict(error.trailing_metadata() or ())
    code = trailers.get("error-code", "")
    return Failure(
        method,
        error.code(),
        _hidden(code if isinstance(code, str) else code.decode("latin-1"), secret),
        _hidden(error.details() or "", secret),
    )


def _hidden(text: str, secret: str) -> str:
    return text.replace(secret, "...") if secret else text


_PREFIX = "sfdc.platform.eventbus.grpc."
_CODE_WITHIN = re.compile(rf"{re.escape(_PREFIX)}[a-z]+(?:\.[a-z]+)*", re.ASCII | re.IGNORECASE)

# What Salesforce documents, and what its clients have met.
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
    # The stream of a process that died lingers for a while: its successor waits for that.
    "managed.subscription.already.active": Reaction.RETRY,
    "managed.subscription.config.stopped": Reaction.BACK_OFF_LONG,  # until an admin starts it
    "managed.subscription.config.deleted": Reaction.CONFIGURATION,
    "managed.subscription.developer.name.not.found": Reaction.CONFIGURATION,
    "managed.subscription.subscription.id.not.found": Reaction.CONFIGURATION,
    "managed.subscription.subscription.id.invalid": Reaction.CONFIGURATION,
}

# Codes of later releases, by their words: the first that is found wins.
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

# Every other status is one of those that pass: UNAVAILABLE, INTERNAL, UNKNOWN, ABORTED…
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


def classify(status: str, error_code: str | None, details: str) -> Reaction:
    """The reaction to a refused call: by its code, else by its gRPC status.

    ``status`` is the status' name, such as UNAVAILABLE. ``error_code`` is the trailer; without
    it one is looked for in ``details``. A code that is not known never stops the listener.
    """
    code = _code(error_code, details)
    if code is None:
        if _says_replay_lost(details):
            return Reaction.REPLAY_LOST
        return _BY_STATUS.get(status, Reaction.RETRY)
    return _BY_CODE.get(code) or _of_unknown(status, code)


def _code(error_code: str | None, details: str) -> str | None:
    """Without the part that all of them have; None where there is none."""
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
