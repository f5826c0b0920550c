"""The login endpoints over HTTP: the token endpoint, and login() and logout() of the SOAP API."""

import asyncio
import base64
import binascii
from contextlib import suppress
from urllib.parse import parse_qsl

from aiohttp import web

from simulator import wire
from simulator.auth import soap
from simulator.auth.credentials import TokenError
from simulator.auth.oauth import Grant, TokenCall, TokenService
from simulator.faults import Faults
from simulator.org.clock import Clock
from simulator.org.records import JsonObject

FORM = "application/x-www-form-urlencoded"


class Logins:
    """Both endpoints. A request takes `--token-seconds`, even if its client disconnects."""

    def __init__(self, tokens: TokenService, faults: Faults, clock: Clock) -> None:
        self._tokens = tokens
        self._faults = faults
        self._clock = clock
        self._running: set[asyncio.Task[JsonObject | TokenError]] = set()

    async def oauth(self, request: web.Request) -> web.StreamResponse:
        """`POST /services/oauth2/token`."""
        body = (await request.read()).decode("utf-8", "replace")
        is_form = request.content_type == FORM
        form = dict(parse_qsl(body, keep_blank_values=True)) if is_form else {}
        call = self._call(request, form, form.get("grant_type", ""), basic=_basic(request))
        if spoilt := self._spoilt(call):
            return spoilt
        try:
            answer = await self._answer(call, self._tokens.oauth, self._refusal())
            response = wire.json_response(answer, headers={"Cache-Control": "no-store"})
        except TokenError as refused:
            response = wire.json_response(refused.body(), 400)
        return await self._send(request, response)

    async def soap(self, request: web.Request) -> web.StreamResponse:
        """`POST /services/Soap/u/{version}`."""
        version, login = request.match_info["version"], soap.Login()
        refusal = None
        try:
            match soap.read_request(version, request.headers, await request.read()):
                case soap.Login() as login:
                    pass
                case soap.Logout(session_id):
                    return self._logout(session_id)
        except TokenError as fault:
            refusal = fault
        form = {"username": login.username, "version": version}
        call = self._call(request, form, "soap", password=login.password)
        if spoilt := self._spoilt(call):
            return spoilt
        if refused := self._refusal():
            refusal = soap.as_fault(refused)
        try:
            answer = await self._answer(call, self._tokens.soap, refusal)
            response = _xml(
                soap.login_xml(
                    base_url=answer["instance_url"],
                    version=version,
                    username=self._tokens.options.username,
                    token=answer["access_token"],
                    seconds=self._tokens.lifetime_ms // 1000,
                )
            )
        except TokenError as fault:
            response = _xml(soap.fault_xml(fault), 500)
        return await self._send(request, response)

    def _logout(self, session_id: str) -> web.Response:
        if self._tokens.revoke(session_id):
            return _xml(soap.logout_xml())
        return _xml(soap.fault_xml(TokenError(*soap.NO_SESSION)), 500)

    def _call(
        self,
        request: web.Request,
        form: dict[str, str],
        grant_type: str,
        *,
        basic: tuple[str, str] | None = None,
        password: str = "",
    ) -> TokenCall:
        arrival = wire.arrival(request, self._clock.now())
        client_now = self._clock.machine_now()
        return TokenCall(
            arrival, wire.base_url(request), form, grant_type, client_now, basic, password
        )

    def _spoilt(self, call: TokenCall) -> web.Response | None:
        spoilt = wire.fault_on_arrival(self._faults, "token")
        if spoilt:
            self._tokens.note(call, f"http_status: {spoilt.status}")
        return spoilt

    def _refusal(self) -> TokenError | None:
        fault = self._faults.take(("refuse_login",), target="token")
        if fault is None:
            return None
        return TokenError(fault.options["error"], fault.options["error_description"])

    async def _answer(
        self, call: TokenCall, grant: Grant, refusal: TokenError | None
    ) -> JsonObject:
        """Return the response. Raises TokenError. A disconnect does not cancel the work."""
        task = asyncio.create_task(self._take_time(call, grant, refusal))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        outcome = await asyncio.shield(task)
        if isinstance(outcome, TokenError):
            raise outcome
        return outcome

    async def _take_time(
        self, call: TokenCall, grant: Grant, refusal: TokenError | None
    ) -> JsonObject | TokenError:
        seconds = self._tokens.options.token_seconds
        with self._tokens.refresh_tokens.processing(call.refresh_token) as busy:
            if seconds and not busy:
                await asyncio.sleep(seconds)
            now = self._clock.now()
            return self._tokens.outcome(call, grant, now=now, refusal=refusal or busy)

    async def _send(self, request: web.Request, response: web.Response) -> web.StreamResponse:
        return await wire.send(request, response, wire.fault_on_answer(self._faults, "token"))


def _xml(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/xml", charset="UTF-8")


def _basic(request: web.Request) -> tuple[str, str] | None:
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    with suppress(binascii.Error, UnicodeDecodeError):
        client_id, _, secret = base64.b64decode(encoded).decode().partition(":")
        return client_id, secret
    return "", ""
