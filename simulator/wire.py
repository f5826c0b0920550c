"""HTTP responses, faults applied to them, and the log of requests."""

import asyncio
import json
from collections import deque
from collections.abc import Iterator, Mapping

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from simulator.evidence import Arrival, SeenRequest
from simulator.faults import ON_ANSWER, ON_ARRIVAL, Fault, Faults
from simulator.org.clock import Clock
from simulator.page_store import decompressed


def json_response(
    body: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return web.json_response(text=text, status=status, headers=headers)


def arrival(request: web.Request, now: int) -> Arrival:
    """Describe the arrival of a request, for the logs that tests read."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return Arrival(
        at=now,
        path=request.path,
        http_version=f"{request.version.major}.{request.version.minor}",
        headers=dict(request.headers),
        peer=f"{peer[0]}:{peer[1]}" if peer else "",
    )


def base_url(request: web.Request) -> str:
    """Return the address that the client used."""
    return f"{request.scheme}://{request.host}"


def bearer_token(request: web.Request) -> str:
    """The access token of a request; empty if it has none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() in ("bearer", "oauth") else ""


def fault_on_arrival(faults: Faults, target: str, channel: str = "") -> web.Response | None:
    """Return the response of a fault that replaces the real one, or None."""
    fault = faults.take(ON_ARRIVAL, target=target, channel=channel)
    if fault is None:
        return None
    status, retry_after = int(fault.options["status"]), fault.options["retry_after"]
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    if fault.options["empty"]:
        return web.Response(status=status, headers=headers)
    return web.Response(
        status=status,
        headers=headers,
        text=f"<html><h1>{status}</h1></html>",
        content_type="text/html",
    )


def fault_on_answer(
    faults: Faults, target: str, channel: str = "", *, has_events: bool = False
) -> Fault | None:
    """Return the fault to apply to the response about to be sent, or None."""
    return faults.take(ON_ANSWER, target=target, channel=channel, has_events=has_events)


async def send(
    request: web.Request, response: web.Response, fault: Fault | None
) -> web.StreamResponse:
    """Send the response with the fault applied."""
    if fault is None:
        return response
    match fault.kind:
        case "stall":
            await asyncio.sleep(float(fault.options["seconds"]))
            return response
        case "malformed":
            text = response.text or ""
            response.text = text[: max(len(text) * 2 // 3, 1)]
            return response
        case _:
            return await _cut_short(request, response)


async def _cut_short(request: web.Request, response: web.Response) -> web.StreamResponse:
    """Announce the whole response, send half of it, and close the connection."""
    body = (response.text or "").encode()
    half = web.StreamResponse(status=response.status, headers={"Content-Length": str(len(body))})
    half.content_type = response.content_type
    await half.prepare(request)
    await half.write(body[: len(body) // 2])
    return _closed(request, half)


async def stream(
    request: web.Request,
    parts: Iterator[bytes],
    headers: Mapping[str, str],
    fault: Fault | None,
    *,
    is_compressed: bool = False,
) -> web.StreamResponse:
    """Send a body in parts, compressed if the client accepts it, with the fault applied."""
    accepts = "gzip" in request.headers.get("Accept-Encoding", "")
    if is_compressed and (fault or not accepts):
        parts, is_compressed = decompressed(parts), False
    if fault is not None and fault.kind == "stall":
        await asyncio.sleep(float(fault.options["seconds"]))
    response = web.StreamResponse(headers=headers)
    response.enable_chunked_encoding()
    if is_compressed:
        response.headers["Content-Encoding"] = "gzip"
    elif accepts:
        response.enable_compression(web.ContentCoding.gzip)
    await response.prepare(request)
    for part in parts:
        if fault is not None and fault.kind != "stall":
            await response.write(part[: len(part) // 2])
            if fault.kind == "malformed":
                break
            return _closed(request, response)
        await response.write(part)
        await asyncio.sleep(0)
    await response.write_eof()
    return response


def _closed(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Close the connection in the middle of a response."""
    if request.transport is not None:
        request.transport.close()
    return response


UNWATCHED = ("/_simulator/", "/services/oauth2/token", "/services/Soap/u/")


def watching(log: deque[SeenRequest], clock: Clock) -> Middleware:

    @web.middleware
    async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(UNWATCHED):
            return await handler(request)
        query = request.rel_url.raw_query_string
        seen = SeenRequest(arrival(request, clock.now()), request.method, query)
        log.append(seen)
        try:
            response = await handler(request)
        except web.HTTPException as refused:
            seen.status = refused.status
            raise
        seen.status = response.status
        return response

    return watch
