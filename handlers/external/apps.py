"""The Celery applications of destinations: connections, TLS, secrets and errors.

BrokerUnavailable   the destination's broker takes no messages; check the broker and the destination
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from celery import Celery, current_app
from django.conf import settings
from django.db import Error as DatabaseError
from kombu.connection import Connection

from handlers import broker
from handlers.broker import BrokerUnavailable
from handlers.external import closed_queues
from handlers.external.application import CONNECT_SECONDS, Access, make_app, options_for
from handlers.models import Destination, broker_url
from listeners.salesforce.errors import DestinationRefused
from listeners.secrets.encrypted_field import SecretUnavailable

#: Seconds without an attempt after a failure to send, doubled by each further one up to the last.
_PAUSE, _LONGEST_PAUSE = 2.0, 30.0


@dataclass(frozen=True, slots=True)
class _Pause:
    """No messages are sent until then, after failures since the last success."""

    until: float
    seconds: float
    reason: str


_apps: dict[int | None, tuple[Access, Celery]] = {}
_pauses: dict[int, _Pause] = {}


def forget() -> None:
    """Forget all failures and applications of this process, and close their connections."""
    for _, app in list(_apps.values()):
        close(app)
    _forget_unclosed()


def _forget_unclosed() -> None:
    _apps.clear()
    _pauses.clear()
    closed_queues.forget()


os.register_at_fork(after_in_child=_forget_unclosed)  # they are the parent's connections


def keep_only(ids: Collection[int]) -> None:
    """Close the connections to destinations with other ids, which were deleted."""
    for key in set(_apps) - {*ids, None}:
        if known := _apps.pop(key, None):
            close(known[1])


def close(app: Celery) -> None:
    """Close the connections of an application, and those in use once they are released."""
    app.pool._limit = 0  # a pool without a limit keeps none
    app.pool._shrink_down()


def app_of(destination: Destination | None) -> Celery:
    """Return the Celery application that sends to a destination; our own for None.

    It is kept until the destination or one of its secrets changes. Raises BrokerUnavailable for a
    secret that cannot be read, and for a host that is unknown or not allowed.
    """
    if destination is None:
        return current_app._get_current_object()
    return workers_app(destination)


def workers_app(destination: Destination | None) -> Celery:
    """Return the Celery application whose remote control reaches the workers of a destination.

    For None, the workers of other projects on our broker: ours have a control exchange of their
    own. Raises BrokerUnavailable, as `app_of` does.
    """
    found = access(destination)
    key = destination.pk if destination else None
    known = _apps.get(key)
    if known and known[0] == found:
        return known[1]
    if destination is None:
        app = make_app(found, dict(settings.CELERY_BROKER_TRANSPORT_OPTIONS))
    else:
        app = unsaved_app(found)
    _apps[key] = found, app  # of two threads that made one, the last wins
    if known:
        close(known[1])
    return app


def unsaved_app(of: Access) -> Celery:
    """Return a new Celery application. Raises BrokerUnavailable."""
    try:
        for url in filter(None, (of.broker, of.result_backend)):
            broker_url.check_addresses(url)
    except (DestinationRefused, OSError) as error:
        raise BrokerUnavailable(str(error)) from error
    return make_app(of, options_for(of.broker))


def connect(app: Celery) -> None:
    """Open a connection and a channel, and close them: this needs the right login and host."""
    brief = dict.fromkeys(("socket_timeout", "read_timeout", "write_timeout"), CONNECT_SECONDS)
    with app.connection_for_write(transport_options=brief) as connection:
        _ = connection.default_channel


def unreachable() -> set[int]:
    """Return the ids of the destinations to which nothing is sent for some seconds, after
    failures."""
    now = time.monotonic()
    return {pk for pk, pause in list(_pauses.items()) if now < pause.until}


def has_failed(destination: Destination | None) -> bool:
    """Return whether the last sending to a destination failed in this process."""
    return destination is not None and destination.pk in _pauses


@contextmanager
def sending(destination: Destination | None) -> Iterator[Celery]:
    """Yield the application that sends to a destination. Raises BrokerUnavailable.

    After a failure, raises it at once for some seconds, so that a destination that is down does
    not keep the caller from sending to others.
    """
    if destination is None:
        app = app_of(None)
        with broker.errors(app):
            yield app
        return
    pause = _pauses.get(destination.pk)
    if pause and time.monotonic() < pause.until:
        raise BrokerUnavailable(pause.reason)
    try:
        with errors(destination):
            yield app_of(destination)
    except DatabaseError:  # of ours
        raise
    except Exception as error:
        seconds = min(pause.seconds * 2, _LONGEST_PAUSE) if pause else _PAUSE
        # The text of an unexpected error may have secrets.
        reason = str(error) if isinstance(error, BrokerUnavailable) else type(error).__name__
        _pauses[destination.pk] = _Pause(time.monotonic() + seconds, seconds, reason)
        raise
    _pauses.pop(destination.pk, None)


@contextmanager
def errors(destination: Destination | None) -> Iterator[None]:
    """Raise BrokerUnavailable for the errors of a destination's broker, without its secrets."""
    if destination is None:
        with broker.errors(app_of(None)):
            yield
        return
    try:
        with errors_of(access(destination)):
            yield
    except BrokerUnavailable as error:
        named = f"Destination {destination.name}: "
        if str(error).startswith(named):
            raise
        raise BrokerUnavailable(f"{named}{error}") from error


@contextmanager
def errors_of(of: Access, url: str = "") -> Iterator[None]:
    """Raise BrokerUnavailable for the errors of a broker, or of the result backend at `url`,
    without secrets; also for an unexpected error whose traceback would show one."""
    try:
        yield
    except BrokerUnavailable:
        raise
    except Exception as error:
        with Connection(url or of.broker, ssl=True) as unused:  # type: ignore[no-untyped-call]
            failures = broker.failures_of(unused)
        shown = "".join(traceback.format_exception(error))
        if not isinstance(error, (OSError, *failures)) and of.without_secrets(shown) == shown:
            raise
        text = of.without_secrets(str(error)).rstrip(".") or type(error).__name__
        raise BrokerUnavailable(f"the broker does not accept messages: {text}") from None


def access(destination: Destination | None) -> Access:
    """Read the secrets of a destination. Raises BrokerUnavailable."""
    if destination is None:
        return Access(settings.CELERY_BROKER_URL)
    try:
        url = destination.broker.reveal()
        backend = destination.result_backend.reveal()
    except SecretUnavailable as unavailable:
        raise BrokerUnavailable(f"a secret is not available: {unavailable}") from unavailable
    # A referenced value is not known when the destination is saved.
    if flaw := broker_url.flaw(url, broker_url.BROKERS):
        raise BrokerUnavailable(f"the broker URL is not usable: {flaw}")
    if backend and (flaw := broker_url.flaw(backend, broker_url.REDIS)):
        raise BrokerUnavailable(f"the result backend URL is not usable: {flaw}")
    return Access(url, backend, destination.ca_certificate)
