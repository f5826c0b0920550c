"""The Celery applications of destinations: connections, TLS, secrets and errors.

BrokerUnavailable   the destination's broker takes no messages; check the broker and the destination
"""

from __future__ import annotations

import os
import ssl
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from celery import Celery, current_app
from django.conf import settings
from django.db import Error as DatabaseError
from kombu.connection import Connection
from kombu.pools import ProducerPool

from handlers import broker
from handlers.broker import BrokerUnavailable
from handlers.external import closed_queues
from handlers.models import Destination, broker_url
from listeners.salesforce.errors import DestinationRefused
from listeners.secrets.encrypted_field import SecretUnavailable

#: Seconds to wait for a connection, and for an answer.
CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 10.0
#: Connections to one broker in one process.
_CONNECTIONS = 10
#: Seconds without an attempt after a failure to send, doubled by each further one up to the last.
_PAUSE, _LONGEST_PAUSE = 2.0, 30.0


@dataclass(frozen=True, slots=True)
class Access:
    """The values that an application is made of; another one is made when they change."""

    broker: str = field(repr=False)
    result_backend: str = field(default="", repr=False)
    ca_certificate: str = ""

    def without_secrets(self, text: str) -> str:
        for secret in broker_url.secrets_in(self.broker) + broker_url.secrets_in(
            self.result_backend
        ):
            text = text.replace(secret, "…")
        return text


@dataclass(frozen=True, slots=True)
class _Pause:
    """No messages are sent until then, after failures since the last success."""

    until: float
    seconds: float
    reason: str


class _App(Celery):  # type: ignore[misc]
    """A Celery application that neither CELERY_* variables nor our settings affect."""

    def connection_for_read(self, url: str | None = None, **kwargs: Any) -> Any:
        return super().connection_for_read(url or self.conf["broker_url"], **kwargs)

    def connection_for_write(self, url: str | None = None, **kwargs: Any) -> Any:
        return super().connection_for_write(url or self.conf["broker_url"], **kwargs)


_apps: dict[int | None, tuple[Access, Celery]] = {}
_pauses: dict[int, _Pause] = {}


def forget() -> None:
    """Forget all failures and applications of this process, and close their connections."""
    for _, app in list(_apps.values()):
        app.pool.force_close_all()
    _forget_unclosed()


def _forget_unclosed() -> None:
    _apps.clear()
    _pauses.clear()
    closed_queues.forget()


os.register_at_fork(after_in_child=_forget_unclosed)  # they are the parent's connections


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
        app = _made(found, dict(settings.CELERY_BROKER_TRANSPORT_OPTIONS))
    else:
        app = unsaved_app(found)
    _apps[key] = found, app  # of two threads that made one, the last wins
    return app


def unsaved_app(of: Access) -> Celery:
    """Return a new Celery application. Raises BrokerUnavailable."""
    try:
        for url in filter(None, (of.broker, of.result_backend)):
            broker_url.check_addresses(url)
    except (DestinationRefused, OSError) as error:
        raise BrokerUnavailable(str(error)) from error
    return _made(of, _options(of.broker))


def connect(app: Celery) -> None:
    """Open a connection and a channel, and close them: this needs the right login and host."""
    brief = dict.fromkeys(("socket_timeout", "read_timeout", "write_timeout"), CONNECT_SECONDS)
    with app.connection_for_write(transport_options=brief) as connection:
        _ = connection.default_channel


def paused() -> set[int]:
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


def _options(url: str) -> dict[str, Any]:
    """Return transport options with which a broker that does not answer is given up soon."""
    retries = {"max_retries": url.count(";"), "interval_start": 0, "interval_step": 0}
    if broker_url.scheme(url) in broker_url.REDIS:
        timeouts = {"socket_connect_timeout": CONNECT_SECONDS, "socket_timeout": ANSWER_SECONDS}
    else:
        timeouts = {"read_timeout": ANSWER_SECONDS, "write_timeout": ANSWER_SECONDS}
    return {**retries, **timeouts}


def _made(of: Access, options: dict[str, Any]) -> Celery:
    # Not even CELERY_LOADER, CELERY_CONFIG_MODULE and Django's settings have a part in it.
    app = _App(
        "salesforce-cdc",
        loader="celery.loaders.app:AppLoader",
        backend=of.result_backend or "disabled",
        set_as_current=False,
        fixups=[],
    )
    app.backend_cls = of.result_backend or "disabled"
    app.config_from_object(
        {
            "broker_url": of.broker,
            "broker_use_ssl": _tls(of.broker, of.ca_certificate),
            "broker_connection_timeout": CONNECT_SECONDS,
            "broker_transport_options": options,
            "redis_backend_use_ssl": _tls(of.result_backend, of.ca_certificate),
            "redis_socket_connect_timeout": CONNECT_SECONDS,
            "redis_socket_timeout": ANSWER_SECONDS,
            "accept_content": ["json"],
            "result_accept_content": ["json"],
            "task_serializer": "json",
        }
    )
    # Pools of its own, not kombu's global ones: they go with the application.
    app._pool = app.connection_for_write().Pool(limit=_CONNECTIONS)
    app.amqp._producer_pool = ProducerPool(app._pool, limit=_CONNECTIONS)  # type: ignore[no-untyped-call]
    return app


def _tls(url: str, ca_certificate: str) -> dict[str, Any] | None:
    """Return the options that verify the server's certificate and host name; None without TLS."""
    match broker_url.scheme(url):
        case "rediss":
            required = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
            return required | ({"ssl_ca_certs": ca_certificate} if ca_certificate else {})
        case "amqps":
            # Without a name, kombu takes that of the host that it connects to.
            named = {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None}
            return named | ({"ca_certs": ca_certificate} if ca_certificate else {})
    return None
