"""From a call that failed to the error that says what to do.

gRPC's own exceptions are dropped here, and never the context of ours: what they quote is not in
this side's hands.
"""

from __future__ import annotations

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
from listeners.salesforce.pubsub.reactions import classify

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
