"""The resources of the REST API: their paths and methods."""

from collections.abc import Callable, Mapping

from simulator.auth.oauth import identity_url
from simulator.org.records import JsonObject
from simulator.rest.collections import Collections
from simulator.rest.composite import Composite, Trees
from simulator.rest.external_ids import ExternalIds
from simulator.rest.queries import Queries
from simulator.rest.records import Records, changed_id
from simulator.rest.replication import Replication
from simulator.rest.tooling import Tooling
from simulator.rest_messages import RestAnswer, RestError, RestRequest, method_not_allowed
from simulator.simulator import Simulator

DAILY_EVENTS = 50_000
DAILY_REQUESTS = 100_000
NAMED = ("composite", "limits", "query", "queryAll", "sobjects", "tooling")
ANY = "*"
Handler = Callable[[RestRequest], RestAnswer]


class Resources:
    """The resources below `/services/data/vNN.0/`."""

    def __init__(self, simulator: Simulator) -> None:
        self._sim = simulator
        self._org = simulator.org
        self._queries = Queries(simulator.org, simulator.options.query_batch_size)
        collections = Collections(simulator.org, simulator.clock)
        external = ExternalIds(simulator.org, simulator.clock)
        replication = Replication(simulator.org, simulator.clock)
        composite = Composite(simulator.org, simulator.clock, self.answer)
        trees = Trees(simulator.org, simulator.clock)
        self.served = 0
        #: The first pattern that matches a path is its resource.
        self.routes: Mapping[tuple[str, ...], Mapping[str, Handler]] = {
            (): {"GET": self._named},
            ("limits",): {"GET": self._limits},
            ("query",): {"GET": self._query},
            ("query", ANY): {"GET": self._more},
            ("queryAll",): {"GET": self._query},
            ("queryAll", ANY): {"GET": self._more},
            ("tooling", "query"): {"GET": self._tooling_query},
            ("tooling", "sobjects", ANY, ANY): {"GET": self._tooling_row},
            ("composite",): {"POST": composite.composite},
            ("composite", "batch"): {"POST": composite.batch},
            ("composite", "tree", ANY): {"POST": trees.create},
            ("composite", "sobjects"): {
                "POST": collections.create,
                "PATCH": collections.update,
                "DELETE": collections.delete,
            },
            ("composite", "sobjects", ANY): {"GET": collections.read, "POST": collections.read},
            ("composite", "sobjects", ANY, ANY): {"PATCH": collections.upsert},
            ("sobjects",): {"GET": self._describe_all},
            ("sobjects", ANY): {"GET": self._about, "POST": self._create},
            ("sobjects", ANY, "describe"): {"GET": self._describe},
            ("sobjects", ANY, "updated"): {"GET": replication.updated},
            ("sobjects", ANY, "deleted"): {"GET": replication.deleted},
            ("sobjects", ANY, ANY): {
                "GET": self._read,
                "PATCH": self._update,
                "DELETE": self._delete,
            },
            ("sobjects", ANY, ANY, ANY): {
                "GET": external.read,
                "PATCH": external.upsert,
                "DELETE": external.delete,
            },
        }

    def answer(self, request: RestRequest) -> RestAnswer:
        """Return the response of the resource. Raises RestError."""
        for pattern, methods in self.routes.items():
            if _fits(pattern, request.path):
                if (handler := methods.get(request.method)) is None:
                    raise method_not_allowed(request.method, methods)
                return handler(request)
        raise RestError("NOT_FOUND")

    def _named(self, request: RestRequest) -> RestAnswer:
        urls = {name: f"{request.url}/{name}" for name in NAMED}
        return RestAnswer({"identity": identity_url(request.base_url), **urls})

    def _limits(self, _request: RestRequest) -> RestAnswer:
        left = {
            "DailyApiRequests": (DAILY_REQUESTS, self.served),
            "DailyDeliveredPlatformEvents": (DAILY_EVENTS, self._sim.delivered),
        }
        return RestAnswer(
            {name: {"Max": most, "Remaining": max(most - n, 0)} for name, (most, n) in left.items()}
        )

    def _query(self, request: RestRequest) -> RestAnswer:
        text, options = request.query.get("q", ""), _query_options(request)
        deleted = request.path[0] == "queryAll"
        found = self._queries.run(text, request.version, options, deleted=deleted)
        return RestAnswer(found)

    def _more(self, request: RestRequest) -> RestAnswer:
        options = _query_options(request)
        return RestAnswer(self._queries.more(request.path[1], request.version, options))

    def _tooling_query(self, request: RestRequest) -> RestAnswer:
        return RestAnswer(self._tooling(request).query(request.query.get("q", "")))

    def _tooling_row(self, request: RestRequest) -> RestAnswer:
        *_, kind, record_id = request.path
        return RestAnswer(self._tooling(request).row(kind, record_id))

    def _tooling(self, request: RestRequest) -> Tooling:
        if not self._sim.access.view_setup:
            raise RestError("INSUFFICIENT_ACCESS")
        return Tooling(self._org, self._sim.pubsub.managed, request.version)

    def _describe_all(self, request: RestRequest) -> RestAnswer:
        return RestAnswer(self._records(request).describe_all())

    def _about(self, request: RestRequest) -> RestAnswer:
        return RestAnswer(self._records(request).about(request.path[1]))

    def _describe(self, request: RestRequest) -> RestAnswer:
        return RestAnswer(self._records(request).describe(request.path[1]))

    def _read(self, request: RestRequest) -> RestAnswer:
        _, entity, record_id = request.path
        fields = request.query.get("fields", "")
        return RestAnswer(self._records(request).read(entity, record_id, fields))

    def _create(self, request: RestRequest) -> RestAnswer:
        change = self._records(request).creation(request.path[1], request.json())
        self._org.commit([change], now=self._sim.clock.now(), writer=request.writer)
        made: JsonObject = {"id": changed_id(change), "success": True, "errors": []}
        return RestAnswer(made, 201, {"Location": f"{request.url}/{made['id']}"})

    def _update(self, request: RestRequest) -> RestAnswer:
        _, entity, record_id = request.path
        change = self._records(request).update(entity, record_id, request.json())
        self._org.commit([change], now=self._sim.clock.now(), writer=request.writer)
        return RestAnswer(status=204)

    def _delete(self, request: RestRequest) -> RestAnswer:
        _, entity, record_id = request.path
        change = self._records(request).deletion(entity, record_id)
        self._org.commit([change], now=self._sim.clock.now(), writer=request.writer)
        return RestAnswer(status=204)

    def _records(self, request: RestRequest) -> Records:
        return Records(self._org, request.version)


def _fits(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    return len(pattern) == len(path) and all(
        wanted in (ANY, given) for wanted, given in zip(pattern, path, strict=True)
    )


def _query_options(request: RestRequest) -> str:
    return request.headers.get("Sforce-Query-Options", "")
