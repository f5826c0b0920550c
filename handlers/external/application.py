"""Makes the Celery application of a broker, configured by its URLs alone."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Any

from celery import Celery
from kombu.pools import ProducerPool

from cdcproject.process.publishers import one_round
from handlers.models import broker_url

#: Seconds to wait for a connection, and for an answer.
CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 10.0
#: Connections to one broker in one process.
_CONNECTIONS = 10


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


class _App(Celery):  # type: ignore[misc]
    """A Celery application that neither CELERY_* variables nor our settings affect."""

    def connection_for_read(self, url: str | None = None, **kwargs: Any) -> Any:
        return super().connection_for_read(url or self.conf["broker_url"], **kwargs)

    def connection_for_write(self, url: str | None = None, **kwargs: Any) -> Any:
        return super().connection_for_write(url or self.conf["broker_url"], **kwargs)


def make_app(of: Access, transport_options: dict[str, Any]) -> Celery:
    """Return a new application with a pool of connections of its own."""
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
            "broker_transport_options": transport_options,
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


def options_for(url: str) -> dict[str, Any]:
    """Return transport options with which a broker that does not answer is given up soon."""
    if broker_url.scheme(url) in broker_url.REDIS:
        timeouts = {"socket_connect_timeout": CONNECT_SECONDS, "socket_timeout": ANSWER_SECONDS}
    else:
        timeouts = {"read_timeout": ANSWER_SECONDS, "write_timeout": ANSWER_SECONDS}
    return {**one_round(url), **timeouts}
