"""The control API on HTTP: whatever is wrong with a request becomes a 400 that names it."""

import json
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from simulator import wire
from simulator.control_requests import Body, ControlError
from simulator.faults import UnknownFaultError
from simulator.records import JsonObject
from simulator.traffic import UnknownMixError

Action = Callable[[Body], JsonObject | Awaitable[JsonObject]]
Numbers = Mapping[str, int | None]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def json_handler(action: Action) -> Handler:
    """An action as an aiohttp handler."""

    async def handler(request: web.Request) -> web.StreamResponse:
        text = await request.text()
        try:
            body = Body(json.loads(text or "{}"))
            answer = action(body)
            if not isinstance(answer, dict):
                answer = await answer
            body.done()
        except (ControlError, UnknownFaultError, UnknownMixError, LookupError) as error:
            return wire.json_response({"error": str(error.args[0])}, 400)
        except ValueError as error:
            return wire.json_response({"error": f"bad request: {error}"}, 400)
        return wire.json_response(answer)

    return handler


def query_handler(names: tuple[str, ...], action: Callable[[Numbers], JsonObject]) -> Handler:
    """An action that looks at whole numbers of the query, None where absent."""

    async def handler(request: web.Request) -> web.StreamResponse:
        given = request.query
        try:
            numbers = {name: int(given[name]) if name in given else None for name in names}
        except ValueError:
            listed = " and ".join(repr(name) for name in names)
            return wire.json_response({"error": f"{listed} must be numbers"}, 400)
        return wire.json_response(action(numbers))

    return handler
