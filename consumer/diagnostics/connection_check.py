"""Check a connection: log in → API versions → limits → subscribe to each channel once.

`check_connection` yields the findings; `checked` adds a time limit and an action log entry;
`consumer.diagnostics.unsaved_connection` checks settings that are not saved.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any

import requests
from django.utils import timezone

from audit.action_log import Action, Actor, note
from consumer.diagnostics.channel_check import check_channel
from consumer.diagnostics.findings import Finding, Step, within
from consumer.diagnostics.short_timeouts import REST_TIMEOUT
from consumer.monitoring.org_limits import LIMIT, keep, keep_failure
from listeners.connections.token_sources import TrialLogin, session_for, token_source
from listeners.models import Connection, Listener, Position
from listeners.models.connection_rules import warnings
from listeners.salesforce.auth.soap import LAST_SOAP_VERSION
from listeners.salesforce.errors import (
    LoginRefused,
    LoginUnavailable,
    RestRefused,
    SalesforceError,
)
from listeners.salesforce.http.session import ClientFileMissing
from listeners.salesforce.rest.client import DEFAULT_VERSION, RestClient
from listeners.salesforce.tokens.tokens import Tokens
from listeners.secrets.encrypted_field import SecretUnavailable
from listeners.token_stores.redis import RedisStore

#: How long a web page waits; a step in progress still finishes.
LONGEST_SECONDS = 25.0


def checked(
    connection: Connection,
    listeners: Sequence[Listener],
    by: Actor,
    *,
    trial: TrialLogin | None = None,
    changed: Sequence[str] = (),
    seconds: float = LONGEST_SECONDS,
) -> Iterator[Finding]:
    """Check the connection within a time limit, and write the check and its result to the action
    log, even if the reader leaves early. The entry names the `changed` fields, because a stored
    secret may have been sent to another address."""
    about = listeners[0] if len(listeners) == 1 and listeners[0].pk else connection
    works = False
    try:
        failed = False
        for finding in within(check_connection(connection, listeners, trial=trial), seconds):
            failed = failed or finding.is_failure
            yield finding
        works = not failed
    finally:
        details: dict[str, Any] = {"works": works} | ({"unsaved": True} if trial else {})
        note(by, Action.TEST, about, details=details | ({"fields": [*changed]} if changed else {}))


def check_connection(
    connection: Connection, listeners: Sequence[Listener], *, trial: TrialLogin | None = None
) -> Iterator[Finding]:
    """Yield the findings, step by step. A refused login is not retried and ends the check.

    With a `trial` neither connection nor listeners need to be stored, and nothing is stored: no
    token, no limit, no count of refused logins. Without it the token is stored for the connection's
    processes, and listeners that stopped on a failed login try again.
    """
    for _, warning in warnings(connection):
        yield Finding(f"note: {warning}")
    try:
        http = session_for(connection)
        version = listeners[0].api_version if listeners else LAST_SOAP_VERSION
        tokens = (
            trial.tokens(version) if trial else token_source(connection, version, must_log_in=True)
        )
        yield from _login(connection, tokens)
        rest = RestClient(tokens, timeout=REST_TIMEOUT, http=http)
        served = yield from _served(rest, listeners)
        yield _limits(connection, tokens, http, served, is_kept=trial is None)
        if trial is None:
            _clear_failures(listeners)
        for listener in listeners:
            yield from check_channel(tokens, served, listener)
    except (SecretUnavailable, ClientFileMissing) as missing:
        yield Finding(f"login: not tried, {missing}", is_failure=True, step=Step.LOGIN)
    except (LoginRefused, LoginUnavailable) as refused:
        yield Finding(str(refused), is_failure=True, step=Step.LOGIN)
    except SalesforceError as error:
        yield Finding(f"REST: {error}", is_failure=True, step=Step.ORG)


def _login(connection: Connection, tokens: Tokens) -> Iterator[Finding]:
    token = tokens.get()
    is_done = connection.auth != Connection.Auth.BEARER_TOKEN  # the first request shows it
    login = f"login: {'accepted' if is_done else 'not needed'} ({connection.get_auth_display()})"
    yield Finding(login, step=Step.LOGIN)
    instance = f"instance: {token.instance_url}"
    if connection.base_url not in ("", token.instance_url):  # requests go to the login's instance
        instance += f" (from the login response; the base URL is {connection.base_url})"
    yield Finding(instance, step=Step.ORG)
    yield Finding(f"org: {token.org_id or 'unknown'}", step=Step.ORG)
    is_in_redis = connection.token_store == Connection.TokenStore.REDIS
    if is_in_redis and RedisStore(connection.pk).writes_to_disk() is False:
        yield Finding(
            "note: Redis does not write to disk (appendonly no): a rotated refresh token is lost "
            "when it restarts"
        )


def _clear_failures(listeners: Sequence[Listener]) -> None:
    """Let the processes restart listeners that stopped on a failure: the login works now."""
    stored = [listener.pk for listener in listeners if listener.pk]
    Position.objects.filter(listener__in=stored, state=Position.State.FAILED).update(
        failed_fingerprint=""
    )


def _served(rest: RestClient, listeners: Sequence[Listener]) -> Generator[Finding, None, list[str]]:
    """Yield a finding, and return the API versions, oldest first. A refusal is a failure only
    without listeners, because changes arrive without REST."""
    try:
        served = versions_of(rest)
    except RestRefused as refused:
        text = f"API versions: not readable ({refused})"
        yield Finding(text, is_failure=not listeners, step=Step.ORG)
        return []
    shown = f"{served[0]} to {served[-1]}" if served else "unknown"
    yield Finding(f"API versions: {shown}", step=Step.ORG)
    return served


def versions_of(rest: RestClient) -> list[str]:
    """Return the API versions that the org serves, oldest first."""
    found = (entry.get("version") for entry in rest.versions())
    return sorted((str(version) for version in found if version), key=_order)


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else 0 for part in version.split("."))


def _limits(
    connection: Connection,
    tokens: Tokens,
    http: requests.Session,
    served: Sequence[str],
    *,
    is_kept: bool,
) -> Finding:
    """Return the finding about the org's limit, and store the limit for the console and the status
    if `is_kept`. A refusal is no failure, because changes arrive without REST."""
    version = served[-1] if served else DEFAULT_VERSION
    rest = RestClient(tokens, version, REST_TIMEOUT, http=http)
    try:
        limit: Any = rest.limits().get(LIMIT)
    except RestRefused as refused:
        if is_kept:
            keep_failure(connection, str(refused))
        return Finding(f"limits: not readable ({refused})", step=Step.ORG)
    if is_kept:
        keep(connection, limit, timezone.now())
    match limit:
        case {"Max": most, "Remaining": remaining}:
            return Finding(f"{LIMIT}: {remaining} of {most} remaining", step=Step.ORG)
        case _:
            return Finding(f"{LIMIT}: unknown", step=Step.ORG)
