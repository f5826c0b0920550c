"""`/composite/sobjects`: create, update, upsert or delete up to 200 records by one request.

Valid records are written in one transaction. With `allOrNone`, an invalid record prevents all of
them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from simulator.org.changes import Create
from simulator.org.clock import Clock
from simulator.org.ids import long_id
from simulator.org.org import Org
from simulator.org.records import JsonObject
from simulator.rest.external_ids import upsertion
from simulator.rest.records import Records, Written, changed_id
from simulator.rest_messages import RestAnswer, RestError, RestRequest, objects_of, texts_of

MAX_RECORDS = 200
ROLLED_BACK = (
    "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "Record rolled back because not all records were valid and the request was using AllOrNone "
    "header",
)


@dataclass(frozen=True, slots=True)
class Collections:
    """The resources for several records."""

    org: Org
    clock: Clock

    def create(self, request: RestRequest) -> RestAnswer:
        """`POST …/composite/sobjects`."""
        body, records = _records_of(request)
        known = self._records(request)

        def change(one: JsonObject) -> Written:
            return known.creation(_type(one), one)

        prepare = [_Prepared(partial(change, record)) for record in records]
        return self._write(request, prepare, all_or_none=_flag(body.get("allOrNone")))

    def update(self, request: RestRequest) -> RestAnswer:
        """`PATCH …/composite/sobjects`."""
        body, records = _records_of(request)
        known = self._records(request)

        def change(one: JsonObject) -> Written:
            given = {name: value for name, value in one.items() if name.casefold() != "id"}
            return known.update(_type(one), _id(one), given)

        prepare = [_Prepared(partial(change, record)) for record in records]
        return self._write(request, prepare, all_or_none=_flag(body.get("allOrNone")))

    def delete(self, request: RestRequest) -> RestAnswer:
        """`DELETE …/composite/sobjects?ids=…`."""
        ids = [record_id for record_id in request.query.get("ids", "").split(",") if record_id]
        _check_size(ids)
        known = self._records(request)

        def change(one: str) -> Written:
            return known.deletion(known.entity_of_id(one).name, one)

        prepare = [_Prepared(partial(change, record_id)) for record_id in ids]
        return self._write(request, prepare, all_or_none=_flag(request.query.get("allOrNone")))

    def upsert(self, request: RestRequest) -> RestAnswer:
        """`PATCH …/composite/sobjects/{Entity}/{ExternalId}`."""
        body, records = _records_of(request)
        entity, field = request.path[2:]
        known = self._records(request)
        seen: set[str] = set()

        def change(one: JsonObject) -> Written:
            given = {name: value for name, value in one.items() if name != field}
            if (value := one.get(field)) is None:
                raise RestError("MISSING_ARGUMENT", f"{field} not specified", [])
            if str(value).casefold() in seen:
                message = f"Duplicate external id specified: {value}"
                raise RestError("DUPLICATE_VALUE", message, [field])
            seen.add(str(value).casefold())
            return upsertion(known, entity, field, str(value), given)

        prepare = [_Prepared(partial(change, record), upserts=True) for record in records]
        return self._write(request, prepare, all_or_none=_flag(body.get("allOrNone")))

    def read(self, request: RestRequest) -> RestAnswer:
        """`GET` or `POST …/composite/sobjects/{Entity}`."""
        entity = request.path[2]
        if request.method == "POST":
            body = request.json()
            ids, fields = texts_of(body, "ids"), texts_of(body, "fields")
        else:
            ids, fields = (request.query.get(name, "").split(",") for name in ("ids", "fields"))
        return RestAnswer(self._records(request).read_many(entity, ids, fields))

    def _records(self, request: RestRequest) -> Records:
        return Records(self.org, request.version)

    def _write(
        self, request: RestRequest, prepared: Sequence["_Prepared"], *, all_or_none: bool
    ) -> RestAnswer:
        for item in prepared:
            item.prepare()
        refused = [item for item in prepared if item.error]
        if refused and all_or_none:
            for item in prepared:
                item.error = item.error or RestError(*ROLLED_BACK)
        if changes := [item.change for item in prepared if item.change and not item.error]:
            self.org.commit(changes, now=self.clock.now(), writer=request.writer)
        return RestAnswer([item.line() for item in prepared])


class _Prepared:
    """A record of the request: its change, or the reason for its refusal."""

    def __init__(self, read: Callable[[], Written], *, upserts: bool = False) -> None:
        self._read = read
        self._upserts = upserts
        self.change: Written | None = None
        self.error: RestError | None = None

    def prepare(self) -> None:
        """Parse the record."""
        try:
            self.change = self._read()
        except RestError as refused:
            self.error = refused

    def line(self) -> JsonObject:
        """Return the record's line in the response."""
        if self.error or self.change is None:
            return {"success": False, "errors": [self.error.line() if self.error else {}]}
        line: JsonObject = {"id": changed_id(self.change), "success": True, "errors": []}
        return {**line, "created": isinstance(self.change, Create)} if self._upserts else line


def _records_of(request: RestRequest) -> tuple[JsonObject, list[JsonObject]]:
    body = request.json()
    records = objects_of(body, "records")
    _check_size(records)
    return body, records


def _check_size(records: Sequence[object]) -> None:
    if not 0 < len(records) <= MAX_RECORDS:
        message = f"records must have 1 to {MAX_RECORDS} items, not {len(records)}"
        raise RestError("EXCEEDED_ID_LIMIT" if records else "MISSING_ARGUMENT", message)


def _type(record: JsonObject) -> str:
    attributes = record.get("attributes")
    named = attributes.get("type") if isinstance(attributes, dict) else None
    if not isinstance(named, str):
        raise RestError("INVALID_FIELD", "Include the type in the attributes of the record", [])
    return named


def _id(record: JsonObject) -> str:
    given = next((value for name, value in record.items() if name.casefold() == "id"), None)
    if not given:
        raise RestError("MISSING_ARGUMENT", "Id not specified in an update call", [])
    return long_id(str(given))


def _flag(value: object) -> bool:
    return str(value).casefold() == "true"
