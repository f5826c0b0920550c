"""The simulator's HTTP application, and its server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from simulator.auth.identity import Identity
from simulator.auth.logins import Logins
from simulator.control import operations
from simulator.rest.endpoint import RestEndpoint
from simulator.simulator import Simulator
from simulator.wire import watching

MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_LINE_BYTES = 16 * 1024
SHUTDOWN_SECONDS = 0.1


def application(simulator: Simulator) -> web.Application:
    app = web.Application(
        client_max_size=MAX_BODY_BYTES, middlewares=[watching(simulator.requests, simulator.clock)]
    )
    logins = Logins(simulator.tokens, simulator.faults, simulator.clock)
    app.router.add_post("/services/oauth2/token", logins.oauth)
    for path in ("/services/Soap/u/{version}", "/services/Soap/u/{version}/"):
        app.router.add_post(path, logins.soap)
    for path in ("/cometd", "/cometd/", "/cometd/{version}", "/cometd/{version}/{tail:.*}"):
        app.router.add_post(path, simulator.cometd.post)
    Identity(simulator.tokens, simulator.clock, simulator.wake).add_routes(app)
    RestEndpoint(simulator).add_routes(app)
    operations.add_routes(app, simulator)
    return app


async def _start_pubsub(simulator: Simulator) -> None:
    """Start the Pub/Sub API. gRPC is imported here, because its import is slow."""
    from simulator.pubsub.payloads import encoded
    from simulator.pubsub.server import PubSubServer

    simulator.org.encode = encoded
    server = PubSubServer(simulator.pubsub, simulator.options)
    await server.start()
    simulator.pubsub_server = server


@asynccontextmanager
async def serving(simulator: Simulator) -> AsyncIterator[int]:
    """Listen and generate traffic inside the `async with` block, and yield the port."""
    options = simulator.options
    runner = web.AppRunner(
        application(simulator),
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
        simulator.pages.close()
        await asyncio.sleep(0)
