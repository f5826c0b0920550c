"""What can go wrong on the wire, and what to do about it.

    SalesforceError                 each carries a ``reaction``
    ├── LoginRefused                the credentials or their permissions are wrong
    ├── LoginUnavailable            the token endpoint could not answer just now
    ├── TransportFailed             no usable HTTP answer
    │   └── AnswerTooLarge          an answer over the limit of its kind
    ├── DestinationRefused          the address is none that this installation may ask
    ├── StreamClosed                this side closed the stream
    ├── MalformedAnswer             an HTTP answer that is no array of Bayeux messages
    ├── StreamRefused               Salesforce answered a subscriber, and refused
    │   ├── CometdRefused           … over the Streaming API
    │   ├── PubSubRefused           … over the Pub/Sub API
    │   └── ReplayLost              the stored position is no longer valid
    ├── RestRefused                 the REST API answered, and refused
    └── Undecodable                 (also a ValueError) a data message that is no change event

No message and no ``repr`` holds a token, a secret or a URL, and none of these exceptions has a
``requests`` exception as its context: ``requests`` quotes URLs and header values.
"""

from __future__ import annotations

from enum import StrEnum, auto

RAW_LIMIT = 10 * 1024 * 1024  # characters of a refused payload that are kept for quarantine


class Reaction(StrEnum):
    """What the caller does next. Each repetition in a row deserves a longer pause."""

    RETRY = auto()  # full-jitter back-off, then the same session if it is still open
    REHANDSHAKE = auto()  # open again from the stored position, at once
    NEW_TOKEN = auto()  # the same, with a new token
    BACK_OFF_LONG = auto()  # open again after minutes, jittered; tell the operator
    QUOTA = auto()  # a daily limit: stay off, probe now and then
    REPLAY_LOST = auto()  # changes may be lost: incident, recovery policy, reconcile
    CONFIGURATION = auto()  # stop this listener and show the operator why


_REMEDY = {
    Reaction.RETRY: "It is tried again after a pause.",
    Reaction.REHANDSHAKE: "The stream is opened again from the stored position.",
    Reaction.NEW_TOKEN: "A new token is fetched; if this repeats, check the login's permissions.",
    Reaction.BACK_OFF_LONG: "It is tried again in some minutes; if this repeats, look at the org.",
    Reaction.QUOTA: "The org's daily limit is used up; it is probed until the limit frees up.",
    Reaction.REPLAY_LOST: "Changes may have been missed since the stored position: reconcile.",
    Reaction.CONFIGURATION: "Correct the configuration or the permissions, then start it again.",
}


AUTHORIZE_AGAIN = "Authorize again and enter the new refresh token."


def quoted(text: str, limit: int = 500) -> str:
    """``text`` from outside, fit for a one-line message: printable, at most ``limit`` long."""
    line = " ".join(text.split())
    clean = "".join(character if character.isprintable() else "?" for character in line)
    return clean if len(clean) <= limit else f"{clean[:limit]}…"


class SalesforceError(Exception):
    """Something on the wire went wrong; ``reaction`` says what to do next."""

    def __init__(self, message: str, *, reaction: Reaction) -> None:
        super().__init__(message)
        self.reaction = reaction


class LoginRefused(SalesforceError):
    """The login was refused. Correct the credentials or the connected app; do not hammer."""

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
        """``error`` and ``description`` are Salesforce's own words where it gave any.

        ``is_final``: trying the same again cannot help. ``ends_refresh_token``: the refresh token
        that was sent is not taken. ``may_have_worked``: the answer does not say that it was
        Salesforce who refused.
        """
        said = f"{quoted(error)}: {quoted(description)}" if description else quoted(error)
        remedy = remedy or "Check the connection's credentials and token URL."
        super().__init__(f"login refused: {said}. {remedy}", reaction=Reaction.CONFIGURATION)
        self.error = error
        self.description = description
        self.is_final = is_final
        self.ends_refresh_token = ends_refresh_token
        self.may_have_worked = may_have_worked

    @property
    def is_revocation(self) -> bool:
        """The refresh token is revoked or used up, for good."""
        return self.ends_refresh_token and "expired access/refresh token" in self.description


def refused_by_proxy(host: str) -> LoginRefused:
    """A proxy's 407 to a login."""
    remedy = "Check the proxy's user name and password."
    return LoginRefused(f"the proxy before {host} answered HTTP 407", remedy=remedy)


class LoginUnavailable(SalesforceError):
    """The token endpoint can't answer now. Wait; if it lasts, check the network and token URL."""

    def __init__(
        self, why: str, *, retry_after: float | None = None, may_have_worked: bool = False
    ) -> None:
        """``retry_after`` is in seconds, where the answer named a time. ``may_have_worked``: it
        is not known what became of the request."""
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
    ) -> None:
        """``status`` is None when no HTTP status came; ``retry_after`` is in seconds;
        ``is_silence``: the connection was there, and nothing came over it."""
        super().__init__(f"no usable answer: {quoted(why)}", reaction=Reaction.RETRY)
        self.is_silence = is_silence
        self.status = status
        self.retry_after = retry_after


class AnswerTooLarge(TransportFailed):
    """An answer over the limit of its kind. See what answers in Salesforce's place."""

    def __init__(self, why: str) -> None:
        """``why`` names the host, the kind of answer and the limit."""
        super().__init__(why)
        self.reaction = Reaction.BACK_OFF_LONG


class DestinationRefused(SalesforceError):
    """An address inside, or one without https. Correct it, or list it in CDC_OUTBOUND_ALLOWED."""

    def __init__(self, why: str, reaction: Reaction = Reaction.CONFIGURATION) -> None:
        super().__init__(f"not asked: {quoted(why)}", reaction=reaction)
        self.why = why

    def as_login_failure(self) -> LoginRefused | LoginUnavailable:
        """Nothing was sent. What only another configuration can mend is not tried again."""
        if self.reaction is Reaction.CONFIGURATION:
            return LoginRefused(self.why, remedy="Correct the connection.", is_final=True)
        return LoginUnavailable(self.why)


class StreamClosed(SalesforceError):
    """``close()`` was called on this stream. Nothing to do: make a new stream to go on."""

    def __init__(self) -> None:
        super().__init__("the stream was closed", reaction=Reaction.RETRY)


class MalformedAnswer(SalesforceError):
    """An answer that is no JSON array of Bayeux messages. Keep ``raw`` and open again.

    Opening again from the stored position brings back the events that were in it. If it
    repeats, something between this machine and Salesforce rewrites answers: check the proxy.
    """

    def __init__(self, why: str, raw: str) -> None:
        super().__init__(f"malformed answer: {quoted(why)}", reaction=Reaction.REHANDSHAKE)
        self.why = why
        self.raw = raw[:RAW_LIMIT]


class StreamRefused(SalesforceError):
    """Salesforce refused a subscriber; ``reaction`` says whether it can be tried again."""

    def __init__(self, what: str, error: str, reaction: Reaction, said: str = "") -> None:
        """``what`` was refused, such as /meta/connect or Subscribe; ``error`` is why, in
        Salesforce's words; ``said``: the same for the operator, where there is more to say."""
        remedy = _REMEDY[reaction]
        super().__init__(f"{what} refused: {said or quoted(error)} {remedy}", reaction=reaction)
        self.what = what
        self.error = error


class CometdRefused(StreamRefused):
    """Salesforce refused a Bayeux message. Its reaction says whether to change anything."""

    def __init__(
        self, error: str, failure_reason: str | None, reaction: Reaction, channel: str
    ) -> None:
        """``channel`` is the meta channel of the refused message, such as /meta/connect."""
        said = f"{quoted(error)} ({quoted(failure_reason)})" if failure_reason else ""
        super().__init__(channel, error, reaction, said)
        self.failure_reason = failure_reason
        self.channel = channel


class PubSubRefused(StreamRefused):
    """The Pub/Sub API refused a call. Its reaction says whether to change anything."""

    def __init__(self, method: str, code: str, details: str, reaction: Reaction) -> None:
        """``code`` is the ``error-code`` of the answer, or the name of its gRPC status."""
        super().__init__(method, details or code, reaction, quoted(f"{code}: {details}"))
        self.code = code


class ReplayLost(StreamRefused):
    """The position is no longer known to Salesforce. Record the window and reconcile."""

    def __init__(self, what: str, error: str) -> None:
        super().__init__(what, error, Reaction.REPLAY_LOST)


class RestRefused(SalesforceError):
    """The REST API refused a request. Check the login user's permissions and API version."""

    def __init__(self, status: int, error_code: str, description: str, reaction: Reaction) -> None:
        said = quoted(f"HTTP {status} {error_code} {description}")
        super().__init__(f"REST request refused: {said}. {_REMEDY[reaction]}", reaction=reaction)
        self.status = status
        self.error_code = error_code


class Undecodable(SalesforceError, ValueError):
    """A data message that is no change event. Quarantine ``raw``, move on, tell the operator."""

    def __init__(self, reason: str, raw: str, replay_id: str | None) -> None:
        """``raw`` is the message as ASCII JSON text; ``replay_id`` is None if it has none."""
        super().__init__(f"undecodable message: {quoted(reason)}", reaction=Reaction.REHANDSHAKE)
        self.reason = reason
        self.raw = raw[:RAW_LIMIT]
        self.replay_id = replay_id
