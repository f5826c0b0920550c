"""The simulator put together, and its HTTP application, with TLS or without."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from simulator.bayeux import Bayeux
from simulator.clock import Clock
from simulator.cometd import CometdEndpoint, Waiters
from simulator.control import Control
from simulator.control_evidence import EvidenceControl
from simulator.evidence import Log, SeenRequest
from simulator.faults import Faults
from simulator.identity import Identity
from simulator.jwt_bearer import AppKey
from simulator.logins import Logins
from simulator.oauth import TokenService
from simulator.options import Options
from simulator.org import ORG_ID, USER_ID, Org
from simulator.pubsub.control import PubSubControl
from simulator.pubsub.hub import Hub
from simulator.records import JsonObject
from simulator.refresh_tokens import RefreshTokens
from simulator.rest import RestEndpoint
from simulator.traffic import MIX, SPLIT_MIX, Pump, Traffic
from simulator.user import Access, Door
from simulator.wire import watching

if TYPE_CHECKING:
    from simulator.pubsub.server import PubSubServer


MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_LINE_BYTES = 16 * 1024
SHUTDOWN_SECONDS = 0.1


class Simulator:
    """All the parts of one org."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.clock = Clock()
        self.faults = Faults()
        self.access = Access()
        self.org = _org(options, self.clock.now())
        self.app_key = AppKey(options.jwt_public_key)
        self.tls = server_context(options.tls_cert, options.tls_key, options.tls_client_ca)
        self.tokens = _tokens(options, self.org, self.app_key)
        self.requests: Log[SeenRequest] = Log()
        waiters = Waiters()
        self.bayeux = Bayeux(
            self.org,
            self.tokens,
            self.faults,
            connect_timeout_ms=int(options.connect_timeout * 1000),
            max_events_per_answer=options.max_events_per_answer,
            wake=waiters.wake,
        )
        self.cometd = CometdEndpoint(
            self.bayeux, self.faults, self.clock, waiters, options.connect_timeout
        )
        self.pubsub = Hub(self.org, self.tokens, self.faults, self.clock)
        for definition in options.managed_subscription:
            self.pubsub.managed.read(definition)
        self.pubsub_server: PubSubServer | None = None
        mix = SPLIT_MIX if options.split_updates else MIX
        self.traffic = Traffic(self.org, options.seed, mix)
        self.pump = Pump(self.traffic, self.clock)

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(
            client_max_size=MAX_BODY_BYTES, middlewares=[watching(self.requests, self.clock)]
        )
        logins = Logins(self.tokens, self.faults, self.clock, self.options.token_seconds)
        app.router.add_post("/services/oauth2/token", logins.oauth)
        for path in ("/services/Soap/u/{version}", "/services/Soap/u/{version}/"):
            app.router.add_post(path, logins.soap)
        for path in ("/cometd", "/cometd/", "/cometd/{version}", "/cometd/{version}/{tail:.*}"):
            app.router.add_post(path, self.cometd.post)
        Identity(self.tokens, self.clock, self.wake).add_routes(app)
        RestEndpoint(self).add_routes(app)
        EvidenceControl(self).add_routes(app)
        PubSubControl(self).add_routes(app)
        Control(self).add_routes(app)
        return app

    @property
    def delivered(self) -> int:
        """Events delivered to clients, over either API."""
        return self.bayeux.delivered + self.pubsub.delivered

    def wake(self) -> None:
        """Let every held connect and every stream look whether it may go on."""
        self.cometd.wake()
        self.pubsub.wake()

    def announcement(self, port: int) -> JsonObject:
        """The address and the credentials."""
        credentials = self.options.credentials
        scheme, host = "https" if self.tls else "http", _name(self.options.host)
        announced = {
            "url": f"{scheme}://{host}:{port}",
            "port": port,
            "client_id": credentials.client_id,
            "client_secret": credentials.client_secret,
            "username": credentials.username,
            "password": credentials.password,
            "refresh_token": credentials.refresh_token,
            "org_id": ORG_ID,
        }
        if self.pubsub_server:
            address = f"{host}:{self.pubsub_server.port}"
            announced["grpc_endpoint"] = address if self.tls else f"http://{address}"
            announced["grpc_port"] = self.pubsub_server.port
        if private_key := self.app_key.private_pem:
            announced["private_key"] = private_key
        return announced


def _org(options: Options, now: int) -> Org:
    """The empty org; raises LookupError or ValueError for a wrong custom channel."""
    org = Org(
        now=now,
        retention_ms=int(options.retention_hours * 3_600_000),
        retention_events=options.retention_events,
        seed=options.seed,
    )
    org.overflow_after = options.overflow_after
    org.setup.set_username(options.username)
    for definition in options.channel:
        name, _, entities = definition.partition("=")
        org.channels.define(name, entities.split(","))
    return org


def _tokens(options: Options, org: Org, app_key: AppKey) -> TokenService:
    credentials = options.credentials
    return TokenService(
        credentials=credentials,
        org_id=ORG_ID,
        user_id=USER_ID,
        opaque=org.opaque,
        lifetime_ms=int(options.session_seconds * 1000),
        refresh_tokens=RefreshTokens(
            org.opaque, credentials.refresh_token, options.rotate_refresh_tokens
        ),
        door=Door(credentials.username, credentials.password, options.lock_after),
        app_key=app_key,
        rules=options.rules,
    )


def _name(host: str) -> str:
    """`localhost` for an address of this machine: strict cookie jars refuse bare addresses."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return "localhost" if address.is_loopback or address.is_unspecified else host


async def _start_pubsub(simulator: Simulator) -> None:
    """Imports gRPC, which takes a while, only where it is wanted."""
    from simulator.pubsub.payloads import encoder
    from simulator.pubsub.server import PubSubServer

    simulator.org.encode = encoder(simulator.org.schemas)
    server = PubSubServer(simulator.pubsub, simulator.options)
    await server.start()
    simulator.pubsub_server = server


@asynccontextmanager
async def serving(simulator: Simulator) -> AsyncIterator[int]:
    """Listen and generate traffic while the context lasts; gives the port."""
    options = simulator.options
    runner = web.AppRunner(
        simulator.application(),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=SHUTDOWN_SECONDS,
        max_line_size=MAX_LINE_BYTES,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, options.host, options.port, ssl_context=simulator.tls)
        await site.start()
        if options.grpc_port is not None:
            await _start_pubsub(simulator)
        await simulator.pump.start(options.rate, options.count)
        yield runner.addresses[0][1]
    finally:
        await simulator.pump.stop()
        if simulator.pubsub_server:
            await simulator.pubsub_server.stop()
        await runner.cleanup()
        await asyncio.sleep(0)


def server_context(cert: str, key: str, client_ca: str) -> ssl.SSLContext | None:
    """The context to listen with; None without a certificate. Raises ValueError for bad files.

    With `client_ca`, a client must show a certificate that this authority has signed.
    """
    if not cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(Path(cert), Path(key) if key else None)
        if client_ca:
            context.load_verify_locations(Path(client_ca))
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:
        named = ", ".join(path for path in (cert, key, client_ca) if path)
        raise ValueError(f"cannot use the TLS files {named}: {error}") from error
    return context
