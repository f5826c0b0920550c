"""A connection's settings tried out before they are saved.

Nothing is kept where listeners look, with one exception. A refresh token that Salesforce rotates
works once: testing it uses it up. One that was typed is replaced by its successor when the form is
saved (`SuccessorTokens`). The stored one is used as the connection's processes use it, so that its
successor is kept; with changed settings beside it, it is not tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from functools import partial
from typing import Any

from audit.action_log import Actor
from consumer.diagnostics.connection_check import checked
from consumer.diagnostics.findings import Finding, Step
from consumer.diagnostics.short_timeouts import listener_with_short_timeouts, with_short_timeouts
from listeners.connections.login_attempts import LoginLedger
from listeners.connections.token_sources import TrialLogin
from listeners.models import Connection, Listener
from listeners.models.connection_rules import twins
from listeners.salesforce.tokens.store import digest
from listeners.secrets.encrypted_field import Secret, SecretUnavailable

_KEY = "successors_of_tested_refresh_tokens"
_REMEMBERED = 10

#: What a login with a refresh token depends on.
_OF_A_REFRESH = (
    "auth",
    "base_url",
    "refresh_url",
    "client_id",
    "scopes",
    "optional_params",
    "credential_bearer",
    "client_config",
    "token_store",
    "proxy_scheme",
    "proxy_host",
    "proxy_port",
    "proxy_username",
)


class SuccessorTokens:
    """In a session, encrypted: what took the place of refresh tokens that tests used up."""

    def __init__(self, session: MutableMapping[str, Any]) -> None:
        self._session = session

    def due(self, token: Secret) -> Secret:
        """The one that may be sent now. Raises SecretUnavailable."""
        if not token or token.reference:
            return token
        found = self._session.get(_KEY, {}).get(digest(token.reveal()))
        return Secret(found) if found else token

    def keep(self, token: Secret, successor: str) -> None:
        kept = dict(self._session.get(_KEY, {}))
        kept[digest(token.reveal())] = Secret.of(successor).stored
        self._session[_KEY] = dict(list(kept.items())[-_REMEMBERED:])
        if save := getattr(self._session, "save", None):
            save()  # the answer, and with it the session, may be under way already

    def put_in(self, connection: Connection) -> Secret | None:
        """Before the connection is saved; the token that is used up, if it has one."""
        token: Secret = connection.refresh_token
        try:
            due = self.due(token)
        except SecretUnavailable:
            return None
        if due is token:
            return None
        connection.refresh_token = due
        # From here on it is that connection's alone: a test of another must not use it up.
        mark = digest(token.reveal())
        self._session[_KEY] = {k: v for k, v in self._session[_KEY].items() if k != mark}
        return token


def spent(connection: Connection, token: Secret) -> None:
    """Nobody sends it again, should it be entered once more. Inside the transaction that saves."""
    LoginLedger(connection).spend(token.reveal())


def try_out(
    connection: Connection,
    listeners: Sequence[Listener],
    by: Actor,
    *,
    stored: Connection | None = None,
    changed: Sequence[str] = (),
    successors: SuccessorTokens | None = None,
) -> Iterator[Finding]:
    """The check of a connection that is not saved, or not as it is; `stored`: what is saved of it,
    `changed`: which fields are not as saved.

    The listeners, saved or not, are heard through it. Within a time limit, and in the action log.
    Outside any transaction.
    """
    trying = with_short_timeouts(connection)
    heard = [listener_with_short_timeouts(one, trying) for one in listeners]
    check = partial(checked, trying, heard, by, changed=changed)
    if connection.auth != Connection.Auth.REFRESH_TOKEN:
        yield from check(trial=TrialLogin(trying))
    elif stored is not None and connection.refresh_token.same_as(stored.refresh_token):
        if _refreshes_alike(connection, stored):
            yield from checked(with_short_timeouts(stored), heard, by)
        else:
            yield _not_tried(_CHANGED_BESIDE_IT)
    elif connection.refresh_token.reference:
        yield _not_tried(_A_REFERENCE)
    elif others := twins(connection):
        yield _not_tried(_OF_ANOTHER.format(others[0]))
    else:
        yield from _with_typed_token(trying, check, successors or SuccessorTokens({}))


def _with_typed_token(
    connection: Connection, check: Callable[..., Iterator[Finding]], successors: SuccessorTokens
) -> Iterator[Finding]:
    typed = connection.refresh_token
    connection.refresh_token = successors.due(typed)
    trial = TrialLogin(connection)
    successor = ""
    try:
        yield from check(trial=trial)
    finally:
        if successor := trial.successor():
            successors.keep(typed, successor)
    if successor:
        yield Finding(_REPLACED)


def _not_tried(why: str) -> Finding:
    return Finding(f"login: not tried, {why}", is_failure=True, step=Step.LOGIN)


_CHANGED_BESIDE_IT = (
    "the stored refresh token works only once where Salesforce rotates it, and is not risked with "
    "settings that may be wrong. Save them, and test again."
)
_A_REFERENCE = (
    "the refresh token is a reference: if Salesforce rotates it, its successor could not be kept "
    "before the connection is saved. Save it, and test again."
)
_OF_ANOTHER = (
    "connection {} has the same refresh token: where Salesforce rotates it, this test would take "
    "it from that one's listeners."
)
_REPLACED = (
    "note: Salesforce rotates refresh tokens: this test used up the one that was entered. Its "
    "successor is saved in its place when you save this form, in this session."
)


def _refreshes_alike(one: Connection, other: Connection) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in _OF_A_REFRESH) and all(
        getattr(one, name).same_as(getattr(other, name))
        for name in ("client_secret", "proxy_password")
    )
