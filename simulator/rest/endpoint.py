"""The REST API over HTTP, `/services/data/…`."""

import re
from urllib.parse import unquote

from aiohttp import web

from simulator import wire
from simulator.rest.resources import DAILY_REQUESTS, Resources
from simulator.rest_messages import RestAnswer, RestError, RestRequest, method_not_allowed
from simulator.simulator import Simulator

OLDEST, NEWEST = 31, 67
VERSION = re.compile(r"v(\d\d)\.0")
SEASONS = ("Spring", "Summer", "Winter")


class RestEndpoint:
    """The routes of the REST API."""

    def __init__(self, simulator: Simulator) -> None:
        self._sim = simulator
        self._resources = Resources(simulator)

    def add_routes(self, app: web.Application) -> None:
        """Add the routes. Unknown paths are answered in JSON too."""
        app.router.add_route("*", "/services/data", self.versions)
        app.router.add_route("*", "/services/data/", self.versions)
        app.router.add_route("*", "/services/data/{tail:.*}", self.resource)
        app.router.add_route("*", "/services/{tail:.*}", self.nothing)

    async def versions(self, request: web.Request) -> web.StreamResponse:
        """Return the list of API versions, without authentication."""
        if spoilt := wire.fault_on_arrival(self._sim.faults, "rest"):
            return spoilt
        if request.method not in ("GET", "HEAD"):
            return _refusal(method_not_allowed(request.method, ("GET", "HEAD")))
        listed = [
            {
                "label": _label(number),
                "url": f"/services/data/v{number}.0",
                "version": f"{number}.0",
            }
            for number in range(OLDEST, NEWEST + 1)
        ]
        return await self._send(request, wire.json_response(listed))

    async def nothing(self, _request: web.Request) -> web.StreamResponse:
        """Refuse a path that the simulator does not serve."""
        return _refusal(RestError("NOT_FOUND"))

    async def resource(self, request: web.Request) -> web.StreamResponse:
        """Answer a request for a resource below a version."""
        if spoilt := wire.fault_on_arrival(self._sim.faults, "rest"):
            return spoilt
        body = await request.read()
        try:
            if not self._sim.tokens.is_valid(wire.bearer_token(request), self._sim.clock.now()):
                raise RestError("INVALID_SESSION_ID")
            if not self._sim.access.api_enabled:
                raise RestError("API_DISABLED_FOR_ORG")
            response = _response(self._resources.answer(_read(request, body)))
        except RestError as refused:
            response = _refusal(refused)
        self._resources.served += 1
        usage = f"api-usage={self._resources.served}/{DAILY_REQUESTS}"
        response.headers["Sforce-Limit-Info"] = usage
        return await self._send(request, response)

    async def _send(self, request: web.Request, response: web.Response) -> web.StreamResponse:
        return await wire.send(request, response, wire.fault_on_answer(self._sim.faults, "rest"))


def _read(request: web.Request, body: bytes) -> RestRequest:
    """Parse the request, with its path split and decoded. Raises RestError for an unknown
    version."""
    parts = [unquote(part) for part in request.rel_url.raw_path.split("/")[3:]]
    version = VERSION.fullmatch(parts[0])
    if version is None or not OLDEST <= int(version[1]) <= NEWEST:
        raise RestError("NOT_FOUND")
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return RestRequest(
        method=request.method,
        version=f"{version[1]}.0",
        path=tuple(parts[1:]),
        query=request.query,
        headers=request.headers,
        body=body,
        base_url=wire.base_url(request),
    )


def _response(answer: RestAnswer) -> web.Response:
    if answer.body is None:
        return web.Response(status=answer.status, headers=dict(answer.headers))
    return wire.json_response(answer.body, answer.status, answer.headers)


def _refusal(error: RestError) -> web.Response:
    return wire.json_response(error.body(), error.status, error.headers)


def _label(number: int) -> str:
    """Return the release name of a version: 60 is Spring '24, 61 is Summer '24, 62 is Winter
    '25."""
    years, season = divmod(number - 60, len(SEASONS))
    return f"{SEASONS[season]} '{24 + years + (season == 2)}"
