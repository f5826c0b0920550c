"""The control API about clients: their requests, logins and permissions."""

from aiohttp import web

from simulator import wire
from simulator.control.requests import Body, Numbers, json_handler, query_handler
from simulator.control.state import logins_state
from simulator.org.records import JsonObject
from simulator.simulator import Simulator


class EvidenceControl:
    """Routes below `/_simulator/`; `docs/simulator.md` describes them."""

    def __init__(self, simulator: Simulator) -> None:
        self._tokens = simulator.tokens
        self._requests = simulator.requests
        self._access = simulator.access

    def add_routes(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_post("/_simulator/unlock", json_handler(self.unlock))
        app.router.add_post("/_simulator/access", json_handler(self.access))
        token_requests = query_handler(("since",), self.token_requests)
        app.router.add_get("/_simulator/token-requests", token_requests)
        app.router.add_delete("/_simulator/token-requests", self.clear_token_requests)
        app.router.add_get("/_simulator/requests", query_handler(("since",), self.requests))
        app.router.add_delete("/_simulator/requests", self.clear_requests)

    def unlock(self, _body: Body) -> JsonObject:
        """Unlock the user."""
        self._tokens.door.unlock()
        return logins_state(self._tokens)

    def access(self, body: Body) -> JsonObject:
        """Change the user's permissions."""
        access = self._access
        access.api_enabled = body.flag("api_enabled", default=access.api_enabled)
        access.view_setup = body.flag("view_setup", default=access.view_setup)
        return {"api_enabled": access.api_enabled, "view_setup": access.view_setup}

    def token_requests(self, since: Numbers) -> JsonObject:
        """Return the token requests and SOAP logins."""
        lines = [entry.line() for entry in self._tokens.log.since(since["since"] or 0)]
        return {"token_requests": lines, **logins_state(self._tokens)}

    async def clear_token_requests(self, _request: web.Request) -> web.StreamResponse:
        """Clear the token requests."""
        return wire.json_response({"cleared": self._tokens.log.clear()})

    def requests(self, since: Numbers) -> JsonObject:
        """Return the other requests."""
        return {"requests": [entry.line() for entry in self._requests.since(since["since"] or 0)]}

    async def clear_requests(self, _request: web.Request) -> web.StreamResponse:
        """Clear the other requests."""
        return wire.json_response({"cleared": self._requests.clear()})
