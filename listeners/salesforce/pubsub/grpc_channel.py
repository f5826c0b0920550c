"""gRPC channels to the endpoint, with the connection's proxy, TLS and limits.

They send no HTTP/2 keep-alive PINGs: servers may close a connection that pings more often than
every five minutes (GOAWAY `too_many_pings`), and a small call checks more. gRPC adapts its
flow-control windows to the connection; a fixed window would limit throughput (measured with events
of 100 KB and a round trip of 50 ms).
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

import certifi
import grpc
from grpc import aio
from requests.utils import select_proxy, should_bypass_proxies

from listeners.salesforce.errors import Reaction, StreamRefused
from listeners.salesforce.http.allowlist import ANYWHERE, Destinations
from listeners.salesforce.http.answer_limits import MESSAGE
from listeners.salesforce.http.egress_guard import resolved
from listeners.salesforce.http.session import HttpConfig, Proxy, Tls, read_file
from listeners.salesforce.pubsub.endpoint import PORTS, Endpoint
from listeners.salesforce.pubsub.proxy_tunnel import Tunnel

USER_AGENT = "salesforce-cdc"


@dataclass(frozen=True, slots=True)
class ConnectionPlan:
    """How to connect to the endpoint: proxy, TLS and allowed destinations."""

    endpoint: Endpoint
    proxy: Proxy | None
    credentials: grpc.ChannelCredentials | None  # None: gRPC itself uses no TLS
    proxy_tls: ssl.SSLContext | None
    own_tls: ssl.SSLContext | None  # None: the tunnel uses no TLS to the endpoint
    #: The allowed addresses of the endpoint, or of the proxy to it.
    destinations: Destinations = ANYWHERE

    def tunnel(self, timeout: float) -> Tunnel | None:
        """Return a tunnel, not started yet; None if gRPC can connect by itself."""
        if self.proxy is None and self.own_tls is None:
            return None
        return Tunnel(
            self.endpoint,
            proxy=self.proxy,
            proxy_tls=self.proxy_tls,
            tls=self.own_tls,
            timeout=timeout,
            destinations=self.destinations,
        )

    async def target(self) -> str:
        """Return gRPC's target without a tunnel: checked addresses, all IPv4 or all IPv6.

        Raises ``DestinationRefused`` and ``socket.gaierror``.
        """
        endpoint = self.endpoint
        if self.destinations.trusts(endpoint.host):
            return f"dns:///{endpoint.address}"
        found = await resolved(self.destinations, endpoint.host, endpoint.port)
        is_v6 = ":" in found[0]
        hosts = [f"[{ip}]" if is_v6 else ip for ip in found if (":" in ip) == is_v6]
        targets = ",".join(f"{host}:{endpoint.port}" for host in hosts)
        return f"{'ipv6' if is_v6 else 'ipv4'}:{targets}"

    def channel(self, target: str) -> aio.Channel:
        """Return a channel, which belongs to the current event loop.

        ``target`` is the socket of a tunnel, or the result of ``target``.
        """
        options = self._options()
        if self.credentials is None:
            return aio.insecure_channel(target, options=options)
        return aio.secure_channel(target, self.credentials, options=options)

    def _options(self) -> list[tuple[str, str | int]]:
        options: list[tuple[str, str | int]] = [
            ("grpc.primary_user_agent", USER_AGENT),
            ("grpc.max_receive_message_length", MESSAGE.size),
            # Each stream has its own connection, so that a dead one is dropped with its stream.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),  # the tunnel handles proxies
            ("grpc.enable_retries", 0),
            ("grpc.service_config_disable_resolution", 1),
            ("grpc.default_authority", self.endpoint.address),
        ]
        if self.credentials is not None:
            options.append(("grpc.ssl_target_name_override", self.endpoint.host))
        elif not self.endpoint.is_plain:
            options.append(("grpc.http2_scheme", "https"))
        return options


def connection_plan(endpoint: Endpoint, config: HttpConfig) -> ConnectionPlan:
    """Return how to connect to the endpoint.

    Raises ``ClientFileMissing``, or ``StreamRefused`` or ``DestinationRefused`` with CONFIGURATION.
    """
    config.destinations.check(endpoint.url)
    tls = config.tls
    tls.check_files()
    proxy = config.proxy or _proxy_of_environment(endpoint)
    proxy_tls = context_of(tls) if proxy is not None and proxy.scheme == "https" else None
    is_trusted = proxy is not None and config.proxy is None  # from the environment
    guard = ANYWHERE if is_trusted else config.destinations
    if endpoint.is_plain:
        return ConnectionPlan(endpoint, proxy, None, proxy_tls, None, guard)
    own_tls = context_of(tls)
    if tls.verify:
        return ConnectionPlan(endpoint, proxy, credentials_of(tls), proxy_tls, None, guard)
    own_tls.set_alpn_protocols(["h2"])
    return ConnectionPlan(endpoint, proxy, None, proxy_tls, own_tls, guard)


def _proxy_of_environment(endpoint: Endpoint) -> Proxy | None:
    """Return the environment's proxy, like requests; gRPC's own variable has precedence."""
    if should_bypass_proxies(endpoint.url, no_proxy=None):
        return None
    named = getproxies()
    url = named.get("grpc") or select_proxy(endpoint.url, named)
    return _proxy(url) if url else None


def _proxy(url: str) -> Proxy:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        usual = PORTS[parts.scheme]
        port = parts.port or usual
    except (ValueError, LookupError):
        why = "the proxy in the environment variables is neither http nor https"
        raise StreamRefused("connecting", why, Reaction.CONFIGURATION, code="proxy") from None
    return Proxy(
        parts.hostname or "",
        port,
        parts.scheme,
        unquote(parts.username or ""),
        unquote(parts.password or ""),
    )


_ROOTS_OF_GRPC = "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"
_BUNDLES = (_ROOTS_OF_GRPC, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def context_of(tls: Tls) -> ssl.SSLContext:
    """Return the context for Python's TLS.

    Raises ``ClientFileMissing``, or ``StreamRefused`` for a file without a certificate or key.
    """
    authorities = _authorities(tls)
    try:
        context = ssl.create_default_context(cafile=authorities)
        if not tls.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if tls.client_certificate:
            context.load_cert_chain(
                tls.client_certificate, tls.client_key or None, password=lambda: ""
            )
    except ssl.SSLError as error:
        why = f"a file in client_config.tls has no usable certificate or key: {error.reason}"
        raise StreamRefused("connecting", why, Reaction.CONFIGURATION, code="tls") from None
    return context


def credentials_of(tls: Tls) -> grpc.ChannelCredentials:
    """Return the credentials for gRPC's TLS, which always verifies the server.

    Call ``context_of`` first, which checks the files.
    """
    key = tls.client_key or tls.client_certificate
    return grpc.ssl_channel_credentials(
        root_certificates=read_file(_authorities(tls)),
        private_key=read_file(key) if key else None,
        certificate_chain=read_file(tls.client_certificate) if tls.client_certificate else None,
    )


def _authorities(tls: Tls) -> str:
    """Return the path of the CA bundle: the configured one, else the environment's or certifi's."""
    named = filter(None, (tls.ca_bundle, *(os.environ.get(name) for name in _BUNDLES)))
    return next((path for path in named if Path(path).is_file()), certifi.where())
