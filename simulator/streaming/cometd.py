"""`/cometd/{version}` over HTTP: one request of Bayeux messages, one response."""

import asyncio
import json
from contextlib import suppress

from aiohttp import web

from simulator import wire
from simulator.faults import Faults
from simulator.org.clock import Clock
from simulator.org.records import JsonObject
from simulator.streaming.bayeux import Bayeux, Caller, Hold
from simulator.streaming.sessions import Session

MAX_REQUEST_BYTES = 32_768


class CometdEndpoint:
    """Parses requests, lets `Bayeux` answer them, and holds the long polls."""

    def __init__(self, bayeux: Bayeux, faults: Faults, clock: Clock, hold_seconds: float) -> None:
        self._bayeux = bayeux
        self._faults = faults
        self._clock = clock
        self._hold_seconds = hold_seconds
        self._interruptions = 0

    def interrupt(self) -> None:
        """End every held connect early, so that its client meets a new fault at once."""
        self._interruptions += 1
        self._bayeux.sessions.wake()

    async def post(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if len(body) > MAX_REQUEST_BYTES:
            return web.Response(status=413, text="413 Maximum Request Size Exceeded")
        messages = _parse(body)
        if messages is None:
            return web.Response(status=400, text="400 Bad Request")
        channel = str(messages[0].get("channel"))
        if spoilt := wire.fault_on_arrival(self._faults, "cometd", channel):
            return spoilt
        caller = _caller(request, alone=len(messages) == 1)
        answers = [self._bayeux.handle(message, caller, self._clock.now()) for message in messages]
        for answer in answers:
            if isinstance(answer, Hold):
                await self._wait(answer)
        return await self._answer(request, answers, channel)

    async def _wait(self, hold: Hold) -> None:
        """Wait until the hold is ready, its time is up, or its client disconnects."""
        awake, interruptions = hold.session.awake, self._interruptions
        try:
            async with asyncio.timeout(self._hold_seconds):
                while not self._bayeux.is_ready(hold, self._clock.now()):
                    if self._interruptions != interruptions:
                        return
                    awake.clear()
                    await awake.wait()
        except TimeoutError:
            return
        except asyncio.CancelledError:
            self._bayeux.abandon(hold, self._clock.now())
            raise

    async def _answer(
        self, request: web.Request, answers: list[JsonObject | Hold], channel: str
    ) -> web.StreamResponse:
        now = self._clock.now()
        messages: list[JsonObject] = []
        events: list[JsonObject] = []
        session: Session | None = None
        for answer in answers:
            if isinstance(answer, Hold):
                session = session or answer.session
                *delivered, acknowledgement = self._bayeux.finish(answer, now)
                events += delivered
                messages += [*delivered, acknowledgement]
            else:
                messages.append(answer)
        fault = wire.fault_on_answer(self._faults, "cometd", channel, has_events=bool(events))
        if fault and fault.options.get("keep_events") and session:
            session.put_back(events)
        response = wire.json_response(messages)
        self._set_cookies(response, messages)
        return await wire.send(request, response, fault)

    def _set_cookies(self, response: web.Response, messages: list[JsonObject]) -> None:
        """Set cookies as raw headers: a cookie library would quote characters that must survive."""
        for message in messages:
            if message["channel"] == "/meta/handshake" and message["successful"]:
                session = self._bayeux.sessions.by_client[message["clientId"]]
                for cookie in (
                    f"BAYEUX_BROWSER={session.browser}; Path=/; HttpOnly",
                    f"sfdc-stream={session.affinity}; Path=/; Max-Age=10800; HttpOnly",
                ):
                    response.headers.add("Set-Cookie", cookie)


def _parse(body: bytes) -> list[JsonObject] | None:
    with suppress(ValueError):
        parsed = json.loads(body)
        messages = parsed if isinstance(parsed, list) else [parsed]
        if messages and all(isinstance(message, dict) for message in messages):
            return messages
    return None


def _caller(request: web.Request, *, alone: bool) -> Caller:
    """Return the caller, with its cookies as sent: a client must not re-encode them.

    Quotes around a whole value are accepted, because strict clients add them.
    """
    cookies = {}
    for pair in request.headers.get("Cookie", "").split(";"):
        name, _, value = pair.strip().partition("=")
        quoted = len(value) > 1 and value[0] == value[-1] == '"'
        cookies[name] = value[1:-1] if quoted else value
    version = None
    with suppress(ValueError):
        version = float(request.match_info.get("version", ""))
    return Caller(wire.bearer_token(request), version, cookies, alone)
