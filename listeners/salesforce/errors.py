"""Errors of Salesforce's APIs, each with the reaction to it.

    SalesforceError                 the base class, with a ``reaction``
    ├── LoginRefused                the credentials or their permissions are wrong
    ├── LoginUnavailable            the token endpoint cannot answer at the moment
    ├── TransportFailed             no usable HTTP answer
    │   └── AnswerTooLarge          an answer exceeds the limit for its kind
    ├── DestinationRefused          this installation may not send requests to the address
    ├── StreamClosed                this side closed the stream
    ├── MalformedAnswer             an HTTP answer is not an array of Bayeux messages
    ├── StreamRefused               a request of a stream was refused
    │   ├── ReplayLost              the stored position is no longer valid
    │   └── PositionDeleted         the position of a managed subscription was deleted
    ├── RestRefused                 the REST API refused a request
    └── Undecodable                 (also a ValueError) a data message is not a change event

No message or ``repr`` contains a token, a secret or a URL. None of these exceptions has a
``requests`` exception as its context, because ``requests`` quotes URLs and header values.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum, auto

RAW_LIMIT = 10 * 1024 * 1024  # characters of a refused payload that are kept for quarantine


class Reaction(StrEnum):
    """The caller's next step. Consecutive repetitions need growing pauses."""

    RETRY = auto()  # back off with full jitter, then continue the session if it is still open
    REHANDSHAKE = auto()  # reopen from the stored position immediately
    NEW_TOKEN = auto()  # reopen with a new token
    BACK_OFF_LONG = auto()  # reopen after minutes, with jitter, and inform the operator
    QUOTA = auto()  # a daily limit is used up: only retry occasionally
    REPLAY_LOST = auto()  # changes may be lost: open an incident, recover, reconcile
    CONFIGURATION = auto()  # stop the listener and show the operator why


_REMEDY = {
    Reaction.RETRY: "The request is retried after a pause.",
    Reaction.REHANDSHAKE: "The stream is reopened from the stored position.",
    Reaction.NEW_TOKEN: "A new token is requested; if this repeats, check the user's permissions.",
    Reaction.BACK_OFF_LONG: "The request is retried in a few minutes; if this repeats, check the "
    "org.",
    Reaction.QUOTA: "The org's daily limit is used up; the request is retried until it is free.",
    Reaction.REPLAY_LOST: "Changes since the stored position may be lost: reconcile.",
    Reaction.CONFIGURATION: "Correct the configuration or the permissions, then start the listener "
    "again.",
}
#: A caller of the REST API may be a command or a background job.
_REST_REMEDY = _REMEDY | {
    Reaction.RETRY: "The org may answer later.",
    Reaction.BACK_OFF_LONG: "If this repeats, check the org and the user's permissions.",
    Reaction.CONFIGURATION: "Correct the configuration or the user's permissions.",
}


AUTHORIZE_AGAIN = "Authorize again and enter the new refresh token."


def quoted(text: str, limit: int = 500) -> str:
    """Return external text in a form for one-line messages: printable, and cut to ``limit``."""
    line = " ".join(text.split())
    clean = "".join(character if character.isprintable() else "?" for character in line)
    return clean if len(clean) <= limit else f"{clean[:limit]}…"


class SalesforceError(Exception):
    """A request to Salesforce failed; ``reaction`` says what to do next."""

    def __init__(self, message: str, *, reaction: Reaction) -> None:
        super().__init__(message)
        self.reaction = reaction


class LoginRefused(SalesforceError):
    """The login was refused. Correct the credentials or the connected app before a retry."""

    def __init__(
        self,
        error: str,
        description: str = "",
        *,
        remedy: str = "",
        is_final: bool = False,
        ends_refresh_token: bool = False,
        may_have_worked: bool = False,
    ) -> None:
        """``error`` and ``description`` are Salesforce's texts, if the answer had any.

        ``is_final``: the same login cannot succeed later. ``ends_refresh_token``: Salesforce no
        longer accepts the refresh token that was sent. ``may_have_worked``: the answer does not
        prove that Salesforce refused the login.
        """
        reason = f"{quoted(error)}: {quoted(description)}" if description else quoted(error)
        remedy = remedy or "Check the connection's credentials and token URL."
        message = f"login refused: {reason.removesuffix('.')}. {remedy}"
        super().__init__(message, reaction=Reaction.CONFIGURATION)
        self.error = error
        self.description = description
        self.is_final = is_final
        self.ends_refresh_token = ends_refresh_token
        self.may_have_worked = may_have_worked

    @property
    def is_revocation(self) -> bool:
        """Whether the refresh token was revoked or already used."""
        return self.ends_refresh_token and "expired access/refresh token" in self.description


def refused_by_proxy(host: str) -> LoginRefused:
    """Return the error for a login to which a proxy answered HTTP 407."""
    remedy = "Check the proxy's user name and password."
    return LoginRefused(f"the proxy to {host} answered HTTP 407", remedy=remedy)


class LoginUnavailable(SalesforceError):
    """The token endpoint cannot answer now. Wait; if it lasts, check the network and token URL."""

    def __init__(
        self, why: str, *, retry_after: float | None = None, may_have_worked: bool = False
    ) -> None:
        """``retry_after`` is in seconds, if the answer had a Retry-After. ``may_have_worked``: the
        outcome of the request is not known."""
        super().__init__(f"login not possible now: {quoted(why)}", reaction=Reaction.RETRY)
        self.retry_after = retry_after
        self.may_have_worked = may_have_worked


class TransportFailed(SalesforceError):
    """No usable HTTP answer. Wait; if it lasts, check the network, proxy and instance."""

    def __init__(
        self,
        why: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        is_silence: bool = False,
        was_sent: bool = True,
    ) -> None:
        """``status`` is None without an HTTP status; ``retry_after`` is in seconds.

        ``is_silence``: the connection was open, but no data arrived. ``was_sent``: the request may
        have been sent.
        """
        super().__init__(f"no usable answer: {quoted(why)}", reaction=Reaction.RETRY)
        self.why = why
        self.is_silence = is_silence
        self.was_sent = was_sent
        self.status = status
        self.retry_after = retry_after


class AnswerTooLarge(TransportFailed):
    """An answer exceeds the limit for its kind. Check whether a proxy answers for Salesforce."""

    def __init__(self, why: str) -> None:
        """``why`` names the host, the kind of answer and the limit."""
        super().__init__(why)
        self.reaction = Reaction.BACK_OFF_LONG


class DestinationRefused(SalesforceError):
    """An address is internal or not https. Correct it, or list it in CDC_OUTBOUND_ALLOWED."""

    def __init__(self, why: str, reaction: Reaction = Reaction.CONFIGURATION) -> None:
        super().__init__(f"request not sent: {quoted(why)}", reaction=reaction)
        self.why = why

    def as_login_failure(self) -> LoginRefused | LoginUnavailable:
        """Return the error of a login that was not sent; final if the configuration is wrong."""
        if self.reaction is Reaction.CONFIGURATION:
            return LoginRefused(self.why, remedy="Correct the connection.", is_final=True)
        return LoginUnavailable(self.why)


class StreamClosed(SalesforceError):
    """``close()`` was called on this stream. Create a new stream to continue."""

    def __init__(self) -> None:
        super().__init__("the stream was closed", reaction=Reaction.RETRY)


class MalformedAnswer(SalesforceError):
    """An answer is not a JSON array of Bayeux messages. Keep ``raw`` and reopen the stream.

    Reopening from the stored position delivers the events of the answer again. If this repeats,
    check whether a proxy changes Salesforce's answers.
    """

    def __init__(self, why: str, raw: str) -> None:
        super().__init__(f"malformed answer: {quoted(why)}", reaction=Reaction.REHANDSHAKE)
        self.why = why
        self.raw = raw[:RAW_LIMIT]


class StreamRefused(SalesforceError):
    """A request of a stream was refused. Correct the configuration if ``reaction`` says so."""

    def __init__(
        self,
        what: str,
        error: str,
        reaction: Reaction,
        *,
        code: str = "",
        failure_reason: str = "",
    ) -> None:
        """``what`` is the refused request, such as /meta/connect or Subscribe.

        ``error`` is the reason. Over the Pub/Sub API, ``code`` is the ``error-code`` or the gRPC
        status; over the Streaming API, ``failure_reason`` may be more precise than ``error``.
        """
        reason = quoted(f"{code}: {error}" if code else error)
        reason += f" ({quoted(failure_reason)})" if failure_reason else ""
        super().__init__(
            f"{what} refused: {reason.removesuffix('.')}. {_REMEDY[reaction]}", reaction=reaction
        )
        self.what = what
        self.error = error
        self.code = code
        self.failure_reason = failure_reason

    def of_new_token(self) -> StreamRefused:
        """Return the refusal of a second token: more would not help, and each costs a login."""
        return StreamRefused(
            self.what,
            self.error,
            Reaction.BACK_OFF_LONG,
            code=self.code,
            failure_reason=self.failure_reason,
        )


class ReplayLost(StreamRefused):
    """Salesforce no longer knows the position. Record the window and reconcile."""

    def __init__(self, what: str, error: str) -> None:
        super().__init__(what, error, Reaction.REPLAY_LOST)


class PositionDeleted(StreamRefused):
    """A managed subscription was stopped or deleted, and with it the position that Salesforce kept.

    Once it runs again, it begins as it is set up: record that the position is lost.
    """


class RestRefused(SalesforceError):
    """The REST API refused a request. Check the login user's permissions and API version."""

    def __init__(self, status: int, error_code: str, description: str, reaction: Reaction) -> None:
        reason = quoted(f"HTTP {status} {error_code} {description}").removesuffix(".")
        super().__init__(
            f"REST request refused: {reason}. {_REST_REMEDY[reaction]}", reaction=reaction
        )
        self.status = status
        self.error_code = error_code


class Undecodable(SalesforceError, ValueError):
    """A data message is not a change event. Quarantine ``raw`` and inform the operator."""

    def __init__(self, reason: str, raw: str, replay_id: str | None) -> None:
        """``raw`` is the message as ASCII JSON; ``replay_id`` is None if the message has none."""
        super().__init__(f"undecodable message: {quoted(reason)}", reaction=Reaction.REHANDSHAKE)
        self.reason = reason
        self.raw = raw[:RAW_LIMIT]
        self.replay_id = replay_id


def status_reaction(status: int, codes: Sequence[str]) -> Reaction:
    """Return the reaction to an HTTP status and the ``errorCode``s in the body."""
    if "REQUEST_LIMIT_EXCEEDED" in codes:
        return Reaction.QUOTA
    if status == 401 or 300 <= status < 400:  # redirect of a moved org: log in for its new URL
        return Reaction.NEW_TOKEN
    if status == 402:
        return Reaction.REHANDSHAKE
    if status in (403, 409, 423):  # also limits, and conflicts and locks of the org's maintenance
        return Reaction.BACK_OFF_LONG
    return Reaction.CONFIGURATION
