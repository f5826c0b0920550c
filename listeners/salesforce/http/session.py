"""HTTP sessions with a connection's proxy, TLS, TCP keep-alive and HTTP version."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import get_auth_from_url
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import ConnectionPool, HTTPConnectionPool
from urllib3.exceptions import ConnectTimeoutError

from listeners.salesforce.errors import Reaction, SalesforceError
from listeners.salesforce.http.allowlist import ANYWHERE, Destinations
from listeners.salesforce.http.egress_guard import GuardedConnection, Route

_LONGEST_IDLE = 32_767  # seconds; the maximum on Linux

SocketOptions = list[tuple[int, int, int | bytes]]


class ClientFileMissing(SalesforceError):
    """A certificate or CA bundle cannot be read. Add the file, or correct client_config."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"the file {path} in client_config.tls cannot be read; correct the path",
            reaction=Reaction.CONFIGURATION,
        )


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy. ``scheme`` is the protocol to the proxy itself, not that of the requests."""

    host: str
    port: int
    scheme: str = "http"
    username: str = ""
    password: str = field(default="", repr=False)

    def url(self) -> str:
        user = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@"
        host = f"[{self.host}]" if ":" in self.host and self.host[0] != "[" else self.host
        return f"{self.scheme}://{user if self.username else ''}{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS settings: paths of PEM files; empty for the default CAs and no client certificate."""

    ca_bundle: str = ""
    client_certificate: str = ""
    client_key: str = ""
    verify: bool = True

    def check_files(self) -> None:
        """Raise ``ClientFileMissing`` if a file cannot be read."""
        for path in filter(None, (self.ca_bundle, self.client_certificate, self.client_key)):
            try:
                Path(path).open("rb").close()
            except OSError:
                raise ClientFileMissing(path) from None


def read_file(path: str) -> bytes:
    """Return the contents of a file in client_config. Raises ``ClientFileMissing``."""
    try:
        return Path(path).read_bytes()
    except OSError:
        raise ClientFileMissing(path) from None


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """The HTTP settings of a connection."""

    proxy: Proxy | None = None
    tls: Tls = Tls()
    http_version: str = "1.1"
    destinations: Destinations = ANYWHERE

    @property
    def route(self) -> Route:
        return Route(self.destinations, has_own_proxy=self.proxy is not None)


class _UrlAuth(AuthBase):
    """Sends the user and password of the URL, if it has any, but none from a .netrc."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        user, password = get_auth_from_url(str(request.url))
        return HTTPBasicAuth(user, password)(request) if user or password else request


class ConfiguredSession(requests.Session):
    """A session whose configured proxies and certificates override those of the environment.

    Credentials from a .netrc are never sent. A request, or a redirect that is followed, to an
    address that ``destinations`` does not allow raises ``DestinationRefused``.
    """

    destinations = ANYWHERE

    def __init__(self) -> None:
        super().__init__()
        self.auth = _UrlAuth()

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Remove credentials on a redirect to another host, like requests, but ignore .netrc."""
        goes_elsewhere: Any = self.should_strip_auth
        if goes_elsewhere(response.request.url, prepared_request.url):
            prepared_request.headers.pop("Authorization", None)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        self.destinations.check(str(request.url))
        return super().send(request, **kwargs)

    def merge_environment_settings(self, url: Any, *args: Any, **kwargs: Any) -> Any:
        merged = super().merge_environment_settings(url, *args, **kwargs)
        if self.proxies:
            merged["proxies"] = dict(self.proxies)
        if self.verify is not True:
            merged["verify"] = self.verify
        return merged


def session_of(config: HttpConfig, session: ConfiguredSession | None = None) -> ConfiguredSession:
    """Configure the given session, or a new one, and return it. Raises ``ClientFileMissing``."""
    session = session or ConfiguredSession()
    tls = config.tls
    tls.check_files()
    session.verify = tls.ca_bundle or tls.verify
    if tls.client_certificate:
        session.cert = (
            (tls.client_certificate, tls.client_key) if tls.client_key else tls.client_certificate
        )
    if config.proxy is not None:
        session.proxies = dict.fromkeys(("http", "https"), config.proxy.url())
    adapter = _adapter(config)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    session.destinations = config.destinations
    return session


def _adapter(config: HttpConfig) -> HTTPAdapter:
    if config.http_version == "2":
        from listeners.salesforce.http.http2 import Http2Adapter

        return Http2Adapter(config.route)
    if config.http_version == "1.0":
        return _Http10Adapter(route=config.route)
    return GuardedAdapter(route=config.route)


def keep_alive_options(seconds: float) -> SocketOptions:
    """Return socket options for three keep-alive probes after ``seconds`` of silence."""
    options: SocketOptions = [
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    ]
    wanted = (
        ("TCP_KEEPIDLE", min(_LONGEST_IDLE, max(1, round(seconds)))),
        ("TCP_KEEPINTVL", min(_LONGEST_IDLE, max(1, round(seconds / 3)))),
        ("TCP_KEEPCNT", 3),
    )
    options += [
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in wanted
        if hasattr(socket, name)  # not every system has the option
    ]
    return options


class _Connection(HTTPConnection):
    """A mixin for urllib3's connection classes: a TLS handshake counts as connecting."""

    def connect(self) -> None:
        try:
            super().connect()
        except TimeoutError:
            raise ConnectTimeoutError from None


class GuardedAdapter(HTTPAdapter):
    """Opens connections, also to proxies, with socket options and restricted by a ``Route``."""

    def __init__(
        self, options: Sequence[Any] = (), route: Route | None = None, **more: Any
    ) -> None:
        self._options = list(options)
        self._route = route or Route()
        super().__init__(**more)

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **kwargs: Any
    ) -> None:
        super().init_poolmanager(connections, maxsize, block, **kwargs, **self._own())

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        return super().proxy_manager_for(proxy, **kwargs, **self._own())

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> ConnectionPool:
        pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
        plain = cast(HTTPConnectionPool, pool)
        mixed_into(plain, _Connection)
        guard = self._route.guard(str(request.url), proxies)
        if not guard.is_anywhere:
            mixed_into(plain, GuardedConnection, destinations=guard)
        return pool

    def _own(self) -> dict[str, Any]:
        return {"socket_options": self._options} if self._options else {}


class _Http10Connection(HTTPConnection):
    """A mixin for HTTP/1.0. Setting ``_http_vsn = 10`` too would omit the Host header."""

    _http_vsn_str = "HTTP/1.0"


class _Http10Adapter(GuardedAdapter):
    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> ConnectionPool:
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        mixed_into(cast(HTTPConnectionPool, pool), _Http10Connection)
        return pool


def mixed_into(pool: HTTPConnectionPool, mixin: type[HTTPConnection], **own: Any) -> None:
    """Make the pool create connections of its own class with ``mixin`` added."""
    plain: type[Any] = pool.ConnectionCls
    if not issubclass(plain, mixin):
        pool.ConnectionCls = type(f"{mixin.__name__}{plain.__name__}", (mixin, plain), own)
