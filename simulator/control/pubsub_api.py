"""The control API about the Pub/Sub API; `docs/simulator.md` describes its operations."""

import base64
import binascii

from aiohttp import web

from simulator import wire
from simulator.control.requests import Body, ControlError, Numbers, json_handler, query_handler
from simulator.org.records import JsonObject
from simulator.simulator import Simulator


class PubSubControl:
    """Routes below `/_simulator/`."""

    def __init__(self, simulator: Simulator) -> None:
        self._sim = simulator
        self._hub = simulator.pubsub

    def add_routes(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_post("/_simulator/managed-subscriptions", json_handler(self.subscription))
        app.router.add_post("/_simulator/pubsub-restart", json_handler(self.restart))
        app.router.add_get("/_simulator/pubsub-calls", query_handler(("since",), self.calls))
        app.router.add_delete("/_simulator/pubsub-calls", self.clear_calls)

    def subscription(self, body: Body) -> JsonObject:
        """Add or change a managed subscription."""
        name, known = body.text("name"), self._hub.managed.by_name
        before = known.get(name)
        topic = body.text("topic", before.topic if before else None)
        replay = body.text("replay", before.replay if before else "latest")
        state = body.text("state", before.state if before else "running")
        subscription = self._hub.managed.define(name, topic, replay, state)
        self._hub.wake()
        return subscription.line()

    async def restart(self, body: Body) -> JsonObject:
        """Restart the server."""
        seconds = body.number("seconds", 0)
        server = self._sim.pubsub_server
        if server is None:
            raise ControlError("there is no Pub/Sub API: start the simulator with --grpc-port")
        await server.restart(seconds)
        return {"port": server.port}

    def calls(self, since: Numbers) -> JsonObject:
        """Return the calls."""
        return {"calls": [c.line() for c in self._hub.calls if c.at >= (since["since"] or 0)]}

    async def clear_calls(self, _request: web.Request) -> web.StreamResponse:
        """Clear the calls."""
        count = len(self._hub.calls)
        self._hub.calls.clear()
        return wire.json_response({"cleared": count})


def read_avro(body: Body) -> bytes | None:
    """Return the event's own Avro payload, or None."""
    if not body.has("avro_payload"):
        return None
    try:
        return base64.b64decode(body.text("avro_payload"), validate=True)
    except binascii.Error as error:
        raise ControlError(f"'avro_payload' is not base64: {error}") from None
