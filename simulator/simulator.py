"""The parts of one simulated org, connected."""

import ssl
from collections import deque
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from simulator.auth.oauth import TokenService
from simulator.evidence import MAX_ENTRIES, SeenRequest
from simulator.faults import Faults
from simulator.options import Options
from simulator.org.clock import Clock
from simulator.org.description_log import DescriptionLog
from simulator.org.ids import ORG_ID
from simulator.org.org import Org
from simulator.org.records import JsonObject
from simulator.page_store import PageStore
from simulator.pubsub.hub import Hub
from simulator.query_jobs import Jobs
from simulator.streaming.bayeux import Bayeux
from simulator.streaming.cometd import CometdEndpoint
from simulator.traffic.generator import MIX, SPLIT_MIX, Pump, Traffic

if TYPE_CHECKING:
    from simulator.pubsub.server import PubSubServer


@dataclass(slots=True)
class Access:
    """The user permissions *API Enabled* and *View Setup and Configuration*."""

    api_enabled: bool = True
    view_setup: bool = True


class Simulator:
    """One simulated org with all its parts."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.clock = Clock()
        self.faults = Faults()
        self.access = Access()
        self.org = Org(options, now=self.clock.now())
        self.descriptions = DescriptionLog(started_at=self.clock.now() // 1000)
        self.pages = PageStore()
        self.jobs = Jobs(options.bulk_job_seconds)
        self.tls = _server_context(options)
        self.tokens = TokenService(options, self.org.opaque)
        self.requests: deque[SeenRequest] = deque(maxlen=MAX_ENTRIES)
        self.bayeux = Bayeux(self.org, self.tokens, self.faults, options)
        self.cometd = CometdEndpoint(self.bayeux, self.faults, self.clock, options.connect_timeout)
        self.pubsub = Hub(self.org, self.tokens, self.faults, self.clock)
        for definition in options.managed_subscription:
            self.pubsub.managed.read(definition)
        self.pubsub_server: PubSubServer | None = None
        mix = SPLIT_MIX if options.split_updates else MIX
        self.traffic = Traffic(self.org, options.seed, mix)
        self.pump = Pump(self.traffic, self.clock)

    def wake(self) -> None:
        """Make every held connect and every stream check whether it can continue."""
        self.bayeux.sessions.wake()
        self.pubsub.wake()

    def announcement(self, port: int) -> JsonObject:
        """Return the address and the credentials."""
        scheme, host = "https" if self.tls else "http", _name(self.options.host)
        credentials = ("client_id", "client_secret", "username", "password", "refresh_token")
        announced = {
            "url": f"{scheme}://{host}:{port}",
            "port": port,
            **{name: getattr(self.options, name) for name in credentials},
            "org_id": ORG_ID,
        }
        if self.pubsub_server:
            address = f"{host}:{self.pubsub_server.port}"
            announced["grpc_endpoint"] = address if self.tls else f"http://{address}"
            announced["grpc_port"] = self.pubsub_server.port
        if private_key := self.tokens.app_key.private_pem:
            announced["private_key"] = private_key
        return announced


def _name(host: str) -> str:
    """Return `localhost` for a local address, because strict cookie jars refuse bare addresses."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return "localhost" if address.is_loopback or address.is_unspecified else host


def _server_context(options: Options) -> ssl.SSLContext | None:
    """Return the TLS context to listen with, or None without a certificate.

    With `--tls-client-ca`, a client must present a certificate signed by this authority. Raises
    ValueError for unusable files.
    """
    files = (options.tls_cert, options.tls_key, options.tls_client_ca)
    if not options.tls_cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(options.tls_cert, options.tls_key or None)
        if options.tls_client_ca:
            context.load_verify_locations(options.tls_client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:
        named = ", ".join(filter(None, files))
        raise ValueError(f"cannot use the TLS files {named}: {error}") from error
    return context
