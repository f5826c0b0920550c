"""Check a connection's settings before they are saved.

Nothing that listeners use is changed, with one exception. A refresh token that Salesforce rotates
works once: testing it uses it up. A typed token is replaced by its successor when the form is saved
(`SuccessorTokens`). A stored token is used as the connection's processes use it, so that its
successor is stored; if other settings were changed as well, it is not tried.
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
from listeners.models.connection_rules import KINDS, sharing_the_refresh_token
from listeners.salesforce.tokens.store import digest
from listeners.secrets.encrypted_field import Secret, SecretUnavailable
from listeners.values import is_same

_KEY = "successors_of_tested_refresh_tokens"
_REMEMBERED = 10

#: Fields on which the outcome of a login with a refresh token depends, beside the token itself.
_FIELDS_OF_A_REFRESH = (
    KINDS["refresh_token"].used_fields - {"refresh_token", "default_token_exp_time", "clock_skew"}
) | {"auth", "proxy_scheme", "proxy_host", "proxy_port", "proxy_username", "proxy_password"}


class SuccessorTokens:
    """The successors of refresh tokens that checks used up, encrypted in the user's session."""

    def __init__(self, session: MutableMapping[str, Any]) -> None:
        self._session = session

    def due(self, token: Secret) -> Secret:
        """Return the token to send now: the successor if there is one. Raises SecretUnavailable."""
        if not token or token.reference:
            return token
        found = self._session.get(_KEY, {}).get(digest(token.reveal()))
        return Secret(found) if found else token

    def keep(self, token: Secret, successor: str) -> None:
        kept = dict(self._session.get(_KEY, {}))
        kept[digest(token.reveal())] = Secret.of(successor).stored
        self._session[_KEY] = dict(list(kept.items())[-_REMEMBERED:])
        if save := getattr(self._session, "save", None):
            save()  # the response may have begun, too late for the middleware to save the session

    def put_in(self, connection: Connection) -> Secret | None:
        """Replace the connection's used-up token by its successor before it is saved, and return
        the used-up token, or None if there is none."""
        token: Secret = connection.refresh_token
        try:
            due = self.due(token)
        except SecretUnavailable:
            return None
        if due is token:
            return None
        connection.refresh_token = due
        # From here on the successor belongs to this connection: no other check may use it up.
        mark = digest(token.reveal())
        self._session[_KEY] = {k: v for k, v in self._session[_KEY].items() if k != mark}
        return token


def note_spent(connection: Connection, token: Secret) -> None:
    """Mark the token as used up, so that it is never sent again. Inside the saving transaction."""
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
    """Check a connection that is new or has unsaved changes, and subscribe its listeners through
    it. Within a time limit, and with an action log entry. Outside any transaction.

    stored    the connection as saved, or None
    changed   names of the fields that differ from it
    """
    trying = with_short_timeouts(connection)
    quick_listeners = [listener_with_short_timeouts(listener, trying) for listener in listeners]
    check = partial(checked, trying, quick_listeners, by, changed=changed)
    if connection.auth != Connection.Auth.REFRESH_TOKEN:
        yield from check(trial=TrialLogin(trying))
    elif stored is not None and connection.refresh_token.same_as(stored.refresh_token):
        if _refreshes_alike(connection, stored):
            yield from checked(with_short_timeouts(stored), quick_listeners, by)
        else:
            yield _not_tried(_CHANGED_BESIDE_IT)
    elif connection.refresh_token.reference:
        yield _not_tried(_A_REFERENCE)
    elif others := sharing_the_refresh_token(connection):
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
    "the stored refresh token works only once if Salesforce rotates it, and is not risked with "
    "settings that may be wrong. Save the settings, then test again."
)
_A_REFERENCE = (
    "the refresh token is a reference: if Salesforce rotates it, its successor cannot be stored "
    "before the connection is saved. Save the connection, then test again."
)
_OF_ANOTHER = (
    "connection {} has the same refresh token: if Salesforce rotates it, this test would "
    "invalidate it for the listeners of that connection."
)
_REPLACED = (
    "note: Salesforce rotates refresh tokens: this test used up the one you entered. Its "
    "successor is saved instead if you save this form in this session."
)


def _refreshes_alike(one: Connection, other: Connection) -> bool:
    return all(is_same(getattr(one, name), getattr(other, name)) for name in _FIELDS_OF_A_REFRESH)
