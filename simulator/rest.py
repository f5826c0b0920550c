"""`/services/data/…`: what a REST request asks for, and the answer on the wire."""

import json
import re
from typing import TYPE_CHECKING

from aiohttp import web

from simulator import wire
from simulator.cometd import bearer_token
from simulator.org import Writer
from simulator.records import JsonObject
from simulator.rest_errors import RestError
from simulator.rest_queries import Queries
from simulator.rest_records import Records
from simulator.tooling import Tooling

if TYPE_CHECKING:
    from simulator.server import Simulator

LABELS = {"60.0": "Spring '24", "64.0": "Summer '25", "66.0": "Spring '26", "67.0": "Summer '26"}
DAILY_EVENTS = 50_000
DAILY_REQUESTS = 100_000
LISTS = ("ids", "fields")
METHODS = ("GET", "POST", "PATCH", "DELETE")


class RestEndpoint:
    """The REST API."""

    def __init__(self, simulator: "Simulator") -> None:
        self._sim = simulator
        self._queries = Queries(simulator.org, simulator.options.query_batch_size)
        self._served = 0

    def add_routes(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/services/data", self.versions)
        app.router.add_get("/services/data/", self.versions)
        for method in METHODS:
            app.router.add_route(
                method, r"/services/data/v{version:[\d.]+}/{path:.*}", self.resource
            )

    async def versions(self, request: web.Request) -> web.StreamResponse:
        """The list of API versions; needs no token."""
        if spoilt := wire.fault_on_arrival(self._sim.faults, "rest"):
            return spoilt
        listed = [
            {"label": label, "url": f"/services/data/v{version}", "version": version}
            for version, label in LABELS.items()
        ]
        return await self._send(request, wire.json_response(listed))

    async def resource(self, request: web.Request) -> web.StreamResponse:
        """Everything below a version."""
        if spoilt := wire.fault_on_arrival(self._sim.faults, "rest"):
            return spoilt
        body = await request.read()
        try:
            if not self._sim.tokens.is_valid(bearer_token(request), self._sim.clock.now()):
                raise RestError("INVALID_SESSION_ID")
            self._sim.access.check_api()
            response = self._answer(request, body)
        except RestError as refused:
            response = wire.json_response(refused.body(), refused.status)
        self._served += 1
        response.headers["Sforce-Limit-Info"] = f"api-usage={self._served}/{DAILY_REQUESTS}"
        return await self._send(request, response)

    async def _send(self, request: web.Request, response: web.Response) -> web.StreamResponse:
        return await wire.send(request, response, wire.fault_on_answer(self._sim.faults, "rest"))

    def _answer(self, request: web.Request, body: bytes) -> web.Response:
        version = request.match_info["version"]
        path = request.match_info["path"].strip("/").split("/")
        records = Records(self._sim.org, version)
        answer: object
        match (request.method, *path):
            case ("GET", "limits"):
                answer = self._limits()
            case ("GET", "query" | "queryAll", *rest):
                answer = self._query(request, version, path[0], rest)
            case ("GET", "tooling", "query"):
                self._sim.access.check_setup()
                answer = Tooling(self._sim.org, version).query(request.query.get("q", ""))
            case ("GET", "sobjects"):
                answer = records.describe_all()
            case ("GET", "sobjects", entity, "describe"):
                answer = records.describe(entity)
            case ("GET", "composite", "sobjects", entity):
                ids, fields = (request.query.get(name, "").split(",") for name in LISTS)
                answer = records.read_many(entity, ids, fields)
            case ("POST", "composite", "sobjects", entity):
                ids, fields = (_list(_json(body), name) for name in LISTS)
                answer = records.read_many(entity, ids, fields)
            case (_, "sobjects", *_):
                return self._sobject(request, records, path[1:], body)
            case _:
                raise RestError("NOT_FOUND")
        return wire.json_response(answer)

    def _query(self, request: web.Request, version: str, kind: str, rest: list[str]) -> JsonObject:
        options = request.headers.get("Sforce-Query-Options", "")
        if rest:
            return self._queries.more("/".join(rest), version, options)
        text = request.query.get("q", "")
        return self._queries.run(text, version, options, deleted=kind == "queryAll")

    def _sobject(
        self, request: web.Request, records: Records, path: list[str], body: bytes
    ) -> web.Response:
        writer, now = _writer(request), self._sim.clock.now()
        match (request.method, *path):
            case ("GET", entity, record_id):
                shown = records.read(entity, record_id, request.query.get("fields", ""))
                return wire.json_response(shown)
            case ("POST", entity):
                made = records.create(entity, _json(body), writer, now)
                location = f"{request.path.rstrip('/')}/{made['id']}"
                return wire.json_response(made, 201, {"Location": location})
            case ("PATCH", entity, record_id):
                records.update(entity, record_id, _json(body), writer, now)
            case ("DELETE", entity, record_id):
                records.delete(entity, record_id, writer, now)
            case (method, _) | (method, _, _):
                raise RestError("METHOD_NOT_ALLOWED", f"HTTP Method '{method}' not allowed.")
            case _:
                raise RestError("NOT_FOUND")
        return web.Response(status=204)

    def _limits(self) -> JsonObject:
        events = max(DAILY_EVENTS - self._sim.delivered, 0)
        requests = max(DAILY_REQUESTS - self._served, 0)
        return {
            "DailyApiRequests": {"Max": DAILY_REQUESTS, "Remaining": requests},
            "DailyDeliveredPlatformEvents": {"Max": DAILY_EVENTS, "Remaining": events},
        }


def _writer(request: web.Request) -> Writer:
    """The client that `Sforce-Call-Options: client=X` names, if any."""
    options = request.headers.get("Sforce-Call-Options", "")
    named = re.search(r"(?:^|,)\s*client\s*=\s*([^,]*)", options, re.IGNORECASE)
    client = named[1].strip() if named else ""
    return Writer(api="rest", client=client, version=request.match_info["version"])


def _json(body: bytes) -> JsonObject:
    try:
        parsed = json.loads(body)
    except json.JSONDecodeError as error:
        message = f"{error.msg} at [line:{error.lineno}, column:{error.colno}]"
        raise RestError("JSON_PARSER_ERROR", message) from None
    except UnicodeDecodeError as error:
        raise RestError("JSON_PARSER_ERROR", f"Invalid UTF-8: {error}") from None
    if not isinstance(parsed, dict):
        raise RestError("JSON_PARSER_ERROR", "Can not deserialize SObject at [line:1, column:1]")
    return parsed


def _list(body: JsonObject, name: str) -> list[str]:
    value = body.get(name)
    if not isinstance(value, list):
        raise RestError("JSON_PARSER_ERROR", f"{name} must be a list")
    return [str(item) for item in value]
