"""A middleware that logs each request which is neither for a token nor to the control API."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from simulator import wire
from simulator.clock import Clock
from simulator.evidence import Log, SeenRequest

UNWATCHED = ("/_simulator/", "/services/oauth2/token", "/services/Soap/u/")


def watching(log: Log[SeenRequest], clock: Clock) -> Middleware:
    """The middleware that writes to this log."""

    @web.middleware
    async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(UNWATCHED):
            return await handler(request)
        query = request.rel_url.raw_query_string
        seen = log.add(SeenRequest(wire.arrival(request, clock.now()), request.method, query))
        try:
            response = await handler(request)
        except web.HTTPException as refused:
            seen.status = refused.status
            raise
        seen.status = response.status
        return response

    return watch
