"""The operations of the control API, and how they are served.

It is for tests and demonstrations: JSON without authentication, meant for a loopback address.
Invalid input is answered with 400 and `{"error": …}`, which names the wrong part.
`docs/simulator.md` describes each operation with an example.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from itertools import islice

from aiohttp import web
from aiohttp.typedefs import Handler

from simulator import wire
from simulator.control import client_control as client
from simulator.control import org_control as org
from simulator.control import schema_control as schema
from simulator.control.requests import Body
from simulator.org.records import JsonObject
from simulator.simulator import Simulator

Lines = Iterator[JsonObject]
Operation = Callable[[Simulator, Body], JsonObject | Lines | Awaitable[JsonObject]]
LINES_AT_ONCE = 500
#: By method and path below `/_simulator/`.
OPERATIONS: Mapping[str, Operation] = {
    "POST changes": org.changes,
    "POST events": org.events,
    "POST messages": org.messages,
    "POST duplicates": org.duplicates,
    "POST bursts": org.bursts,
    "POST traffic": org.traffic,
    "POST faults": client.faults,
    "DELETE faults": client.clear_faults,
    "POST entities": schema.entities,
    "POST field-types": schema.field_types,
    "POST channels": org.channels,
    "POST managed-subscriptions": client.managed_subscriptions,
    "POST clock": org.clock,
    "POST access": client.access,
    "POST unlock": client.unlock,
    "POST refresh-token": client.refresh_token,
    "POST recycle-bin/empty": org.empty_recycle_bin,
    "POST pubsub-restart": client.restart_pubsub,
    "GET state": client.state,
    "GET records": org.records,
    "POST records": org.seed_records,
    "GET token-requests": client.token_requests,
    "DELETE token-requests": client.clear_token_requests,
    "GET requests": client.requests,
    "DELETE requests": client.clear_requests,
    "GET pubsub-calls": client.pubsub_calls,
    "DELETE pubsub-calls": client.clear_pubsub_calls,
}


def described() -> dict[str, str]:
    """Return one sentence for each operation."""
    return {name: operation.__doc__ or "" for name, operation in OPERATIONS.items()}


def listed() -> str:
    """Return the operations as text for `--help`."""
    width = max(len(name) for name in OPERATIONS)
    lines = (f"  {name:{width}}  {text}" for name, text in described().items())
    return (
        "control API (JSON over HTTP below /_simulator/, without authentication; "
        "examples in docs/simulator.md):\n" + "\n".join(lines)
    )


def add_routes(app: web.Application, simulator: Simulator) -> None:
    for name, operation in OPERATIONS.items():
        method, _, path = name.partition(" ")
        app.router.add_route(method, f"/_simulator/{path}", _handler(simulator, operation))


def _handler(simulator: Simulator, operation: Operation) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        text = await request.text()
        try:
            if request.method == "GET":
                body = Body(dict(request.query), "the query")
            else:
                body = Body(json.loads(text or "{}"))
            answer = operation(simulator, body)
            if isinstance(answer, Awaitable):
                answer = await answer
            if request.method == "POST":
                body.done()
        except (ValueError, LookupError) as error:
            return wire.json_response({"error": str(error.args[0])}, 400)
        if isinstance(answer, Iterator):
            return await _send_lines(request, answer)
        return wire.json_response(answer)

    return handle


async def _send_lines(request: web.Request, lines: Lines) -> web.StreamResponse:
    """Send one JSON object a line, and let the org work on between the parts."""
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    while part := list(islice(lines, LINES_AT_ONCE)):
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in part)
        await response.write(text.encode())
        await asyncio.sleep(0)
    await response.write_eof()
    return response
