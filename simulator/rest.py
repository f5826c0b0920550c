"""The REST API that a consumer needs beside the events, and the token endpoint."""

import base64
import binascii
from contextlib import suppress
from urllib.parse import parse_qsl

from aiohttp import web

from simulator import wire
from simulator.bayeux import Bayeux
from simulator.catalogue import UnknownEntityError
from simulator.clock import Clock
from simulator.cometd import bearer_token
from simulator.faults import Faults
from simulator.oauth import TokenError, TokenService
from simulator.org import Org
from simulator.records import JsonObject, UnknownRecordError
from simulator.representation import chosen_fields, record_json
from simulator.soql import SoqlError, select

LABELS = {"60.0": "Spring '24", "64.0": "Summer '25", "66.0": "Spring '26", "67.0": "Summer '26"}
DAILY_EVENTS = 50_000
ERRORS = {
    "INVALID_SESSION_ID": (401, "Session expired or invalid"),
    "NOT_FOUND": (404, "The requested resource does not exist"),
    "ENTITY_IS_DELETED": (404, "entity is deleted"),
    "MALFORMED_QUERY": (400, "unexpected token"),
}


def error(code: str, message: str = "") -> web.Response:
    """A REST error: a list with one object."""
    status, usual = ERRORS[code]
    return wire.json_response([{"message": message or usual, "errorCode": code}], status)


class TokenEndpoint:
    """`POST /services/oauth2/token`."""

    def __init__(self, tokens: TokenService, faults: Faults, clock: Clock) -> None:
        self._tokens = tokens
        self._faults = faults
        self._clock = clock

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Answer a token request."""
        if spoilt := wire.fault_on_arrival(self._faults, "token"):
            return spoilt
        body = (await request.read()).decode("utf-8", "replace")
        is_form = request.content_type == "application/x-www-form-urlencoded"
        form = dict(parse_qsl(body, keep_blank_values=True)) if is_form else {}
        fault = self._faults.take(("refuse_login",), target="token")
        refusal = None
        if fault:
            refusal = TokenError(fault.options["error"], fault.options["error_description"])
        try:
            answer = self._tokens.grant(
                form,
                _basic(request),
                base_url=f"{request.scheme}://{request.host}",
                now=self._clock.now(),
                refusal=refusal,
            )
            response = wire.json_response(answer, headers={"Cache-Control": "no-store"})
        except TokenError as refused:
            response = wire.json_response(refused.body(), 400)
        return await wire.send(request, response, wire.fault_on_answer(self._faults, "token"))


class RestEndpoint:
    """`GET /services/data/…`."""

    def __init__(
        self, org: Org, tokens: TokenService, bayeux: Bayeux, faults: Faults, clock: Clock
    ) -> None:
        self._org = org
        self._tokens = tokens
        self._bayeux = bayeux
        self._faults = faults
        self._clock = clock

    async def versions(self, request: web.Request) -> web.StreamResponse:
        """The list of API versions; needs no token."""
        if spoilt := wire.fault_on_arrival(self._faults, "rest"):
            return spoilt
        listed = [
            {"label": label, "url": f"/services/data/v{version}", "version": version}
            for version, label in LABELS.items()
        ]
        return await self._send(request, wire.json_response(listed))

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Everything below a version."""
        if spoilt := wire.fault_on_arrival(self._faults, "rest"):
            return spoilt
        if not self._tokens.is_valid(bearer_token(request), self._clock.now()):
            return await self._send(request, error("INVALID_SESSION_ID"))
        return await self._send(request, self._resource(request))

    async def _send(self, request: web.Request, response: web.Response) -> web.StreamResponse:
        return await wire.send(request, response, wire.fault_on_answer(self._faults, "rest"))

    def _resource(self, request: web.Request) -> web.Response:
        version = request.match_info["version"]
        match request.match_info["path"].strip("/").split("/"):
            case ["limits"]:
                remaining = max(DAILY_EVENTS - self._bayeux.delivered, 0)
                limit = {"Max": DAILY_EVENTS, "Remaining": remaining}
                return wire.json_response({"DailyDeliveredPlatformEvents": limit})
            case ["sobjects", entity, "describe"]:
                return self._describe(entity)
            case ["sobjects", entity, record_id]:
                return self._record(entity, record_id, version, request.query.get("fields", ""))
            case ["query"]:
                return self._query(request.query.get("q", ""), version)
            case _:
                return error("NOT_FOUND")

    def _record(self, entity: str, record_id: str, version: str, names: str) -> web.Response:
        if self._org.store.is_deleted(entity, record_id):
            return error("ENTITY_IS_DELETED")
        try:
            record = self._org.store.get(entity, record_id)
        except UnknownRecordError:
            return error("NOT_FOUND")
        shown = record_json(record, version)
        return wire.json_response(chosen_fields(shown, names.split(",")) if names else shown)

    def _describe(self, entity: str) -> web.Response:
        try:
            described = self._org.catalogue.get(entity)
        except UnknownEntityError:
            return error("NOT_FOUND")
        body: JsonObject = {
            "name": described.name,
            "keyPrefix": described.prefix,
            "custom": described.name.endswith("__c"),
            "fields": [{"name": name} for name in ("Id", *described.all_fields)],
        }
        return wire.json_response(body)

    def _query(self, text: str, version: str) -> web.Response:
        try:
            rows = select(self._org.store, self._org.catalogue, text, version)
        except SoqlError as refused:
            return error("MALFORMED_QUERY", str(refused))
        return wire.json_response({"totalSize": len(rows), "done": True, "records": rows})


def _basic(request: web.Request) -> tuple[str, str] | None:
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    with suppress(binascii.Error, UnicodeDecodeError):
        client_id, _, secret = base64.b64decode(encoded).decode().partition(":")
        return client_id, secret
    return "", ""
