"""The REST API over HTTP, `/services/data/…`: the resources, their paths and methods."""

import re
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import unquote

from aiohttp import web

from simulator import wire
from simulator.auth.oauth import identity_url
from simulator.faults import Fault
from simulator.rest import collections, objects, replication, tooling
from simulator.rest.bulk.resources import QueryJobs
from simulator.rest.composite import Composite, tree
from simulator.rest.errors import RestError, method_not_allowed
from simulator.rest.fault_targets import targets
from simulator.rest.limits import Limits
from simulator.rest.queries import Queries
from simulator.rest.request import RestAnswer, RestRequest
from simulator.simulator import Simulator

OLDEST, NEWEST = 31, 67
VERSION = re.compile(r"v(\d\d)\.0")
SEASONS = ("Spring", "Summer", "Winter")
NAMED = ("composite", "jobs", "limits", "query", "queryAll", "sobjects", "tooling")
ANY = "*"
Resource = Callable[[RestRequest], RestAnswer]


class RestEndpoint:
    """The routes of the REST API."""

    def __init__(self, simulator: Simulator) -> None:
        self._sim = simulator
        queries = Queries(simulator.options.query_batch_size)
        self._limits = Limits(simulator)
        composite = Composite(self.answer)
        query_jobs = QueryJobs(simulator.jobs, simulator.options.bulk_page_size)
        #: The first pattern that matches a path is its resource.
        self._resources: Mapping[tuple[str, ...], Mapping[str, Resource]] = {
            (): {"GET": self._named},
            ("limits",): {"GET": self._limits.read},
            ("query",): {"GET": queries.run},
            ("query", ANY): {"GET": queries.more},
            ("queryAll",): {"GET": queries.run},
            ("queryAll", ANY): {"GET": queries.more},
            ("jobs", "query"): {"GET": query_jobs.list, "POST": query_jobs.create},
            ("jobs", "query", ANY): {
                "GET": query_jobs.read,
                "PATCH": query_jobs.abort,
                "DELETE": query_jobs.delete,
            },
            ("jobs", "query", ANY, "results"): {"GET": query_jobs.results},
            ("jobs", "query", ANY, "resultPages"): {"GET": query_jobs.result_pages},
            ("jobs", "query", ANY, "resultpages"): {"GET": query_jobs.result_pages},
            ("tooling", "query"): {"GET": tooling.query},
            ("tooling", "sobjects", ANY, ANY): {"GET": tooling.row},
            ("composite",): {"POST": composite.composite},
            ("composite", "batch"): {"POST": composite.batch},
            ("composite", "tree", ANY): {"POST": tree},
            ("composite", "sobjects"): {
                "POST": collections.create,
                "PATCH": collections.update,
                "DELETE": collections.delete,
            },
            ("composite", "sobjects", ANY): {"GET": collections.read, "POST": collections.read},
            ("composite", "sobjects", ANY, ANY): {"PATCH": collections.upsert},
            ("sobjects",): {"GET": objects.describe_all},
            ("sobjects", ANY): {"GET": objects.about, "POST": objects.create},
            ("sobjects", ANY, "describe"): {"GET": objects.describe},
            ("sobjects", ANY, "updated"): {"GET": replication.updated},
            ("sobjects", ANY, "deleted"): {"GET": replication.deleted},
            ("sobjects", ANY, ANY): {
                "GET": objects.read,
                "PATCH": objects.update,
                "DELETE": objects.delete,
            },
            ("sobjects", ANY, ANY, ANY): {
                "GET": objects.read,
                "PATCH": objects.upsert,
                "DELETE": objects.delete,
            },
        }

    def answer(self, request: RestRequest) -> RestAnswer:
        for pattern, methods in self._resources.items():
            if _fits(pattern, request.path):
                if (handler := methods.get(request.method)) is None:
                    raise method_not_allowed(request.method, methods)
                return handler(request)
        raise RestError("NOT_FOUND")

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
        for target, name in targets(request.method, request.path):
            if spoilt := wire.fault_on_arrival(self._sim.faults, target, name):
                return spoilt
            if fault := self._sim.faults.take(("rest_error",), target=target, channel=name):
                return _faulty(fault)
        body = await request.read()
        try:
            if not self._sim.tokens.is_valid(wire.bearer_token(request), self._sim.clock.now()):
                raise RestError("INVALID_SESSION_ID")
            if not self._sim.access.api_enabled:
                raise RestError("API_DISABLED_FOR_ORG")
            read = _read(self._sim, request, body)
            self._limits.check("/".join(read.path))
            answer = self.answer(read)
            if answer.csv is not None:
                return await self._stream(request, answer, answer.csv)
            response = _response(answer)
        except RestError as refused:
            response = _refusal(refused)
        response.headers["Sforce-Limit-Info"] = self._limits.count()
        return await self._send(request, response)

    async def _stream(
        self, request: web.Request, answer: RestAnswer, parts: Iterator[bytes]
    ) -> web.StreamResponse:
        headers = {**answer.headers, "Sforce-Limit-Info": self._limits.count()}
        fault = self._fault_on_answer(request)
        return await wire.stream(request, parts, headers, fault, is_compressed=answer.is_compressed)

    async def _send(self, request: web.Request, response: web.Response) -> web.StreamResponse:
        return await wire.send(request, response, self._fault_on_answer(request))

    def _fault_on_answer(self, request: web.Request) -> Fault | None:
        found = (
            wire.fault_on_answer(self._sim.faults, target, name)
            for target, name in targets(request.method, request.path)
        )
        return next(filter(None, found), None)

    def _named(self, request: RestRequest) -> RestAnswer:
        urls = {name: f"{request.url}/{name}" for name in NAMED}
        return RestAnswer({"identity": identity_url(request.base_url), **urls})


def _fits(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    return len(pattern) == len(path) and all(
        wanted in (ANY, given) for wanted, given in zip(pattern, path, strict=True)
    )


def _read(simulator: Simulator, request: web.Request, body: bytes) -> RestRequest:
    """Parse the request. Raises RestError for an unknown version."""
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
        sim=simulator,
    )


def _response(answer: RestAnswer) -> web.Response:
    if answer.body is None:
        return web.Response(status=answer.status, headers=dict(answer.headers))
    return wire.json_response(answer.body, answer.status, answer.headers)


def _refusal(error: RestError) -> web.Response:
    return wire.json_response(error.body(), error.status, error.headers)


def _faulty(fault: Fault) -> web.Response:
    """Return the error that a fault asks for."""
    error = RestError(fault.options["code"], fault.options["message"])
    status = fault.options["status"]
    return wire.json_response(error.body(), error.status if status is None else int(status))


def _label(number: int) -> str:
    """Return the release name of a version: 60 is Spring '24, 62 is Winter '25."""
    years, season = divmod(number - 60, len(SEASONS))
    return f"{SEASONS[season]} '{24 + years + (season == 2)}"
