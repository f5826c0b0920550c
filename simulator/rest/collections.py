"""`/composite/sobjects`: create, update, upsert or delete up to 200 records by one request.

Valid records are written in one transaction. With `allOrNone`, an invalid record prevents all of
them.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from simulator.org.changes import Create
from simulator.org.ids import long_id
from simulator.org.records import JsonObject
from simulator.rest.errors import RestError
from simulator.rest.objects import upsertion
from simulator.rest.records import Written, changed_id
from simulator.rest.request import RestAnswer, RestRequest, objects_of, texts_of

MAX_RECORDS = 200
ROLLED_BACK = (
    "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "Record rolled back because not all records were valid and the request was using AllOrNone "
    "header",
)


Item = TypeVar("Item")


def create(request: RestRequest) -> RestAnswer:
    """`POST …/composite/sobjects`."""
    known = request.records

    def change(one: JsonObject) -> Written:
        return known.creation(_type(one), one)

    return _write_records(request, change)


def update(request: RestRequest) -> RestAnswer:
    """`PATCH …/composite/sobjects`."""
    known = request.records

    def change(one: JsonObject) -> Written:
        given = {name: value for name, value in one.items() if name.casefold() != "id"}
        return known.update(_type(one), _id(one), given)

    return _write_records(request, change)


def delete(request: RestRequest) -> RestAnswer:
    """`DELETE …/composite/sobjects?ids=…`."""
    ids = [record_id for record_id in request.query.get("ids", "").split(",") if record_id]
    known = request.records

    def change(one: str) -> Written:
        return known.deletion(known.entity_of_id(one).name, one)

    return _write(request, ids, change, request.query.get("allOrNone"))


def upsert(request: RestRequest) -> RestAnswer:
    """`PATCH …/composite/sobjects/{Entity}/{ExternalId}`."""
    entity, field = request.path[2:]
    known = request.records
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

    return _write_records(request, change, tells_created=True)


def read(request: RestRequest) -> RestAnswer:
    """`GET` or `POST …/composite/sobjects/{Entity}`."""
    if request.method == "POST":
        body = request.json()
        ids, fields = texts_of(body, "ids"), texts_of(body, "fields")
    else:
        ids, fields = (request.query.get(name, "").split(",") for name in ("ids", "fields"))
    return RestAnswer(request.records.read_many(request.path[2], ids, fields))


def _write_records(
    request: RestRequest, change: Callable[[JsonObject], Written], *, tells_created: bool = False
) -> RestAnswer:
    """Write the records of the request's body."""
    body = request.json()
    records = objects_of(body, "records")
    return _write(request, records, change, body.get("allOrNone"), tells_created=tells_created)


def _write(
    request: RestRequest,
    items: Sequence[Item],
    change: Callable[[Item], Written],
    all_or_none: object,
    *,
    tells_created: bool = False,
) -> RestAnswer:
    if not 0 < len(items) <= MAX_RECORDS:
        message = f"records must have 1 to {MAX_RECORDS} items, not {len(items)}"
        raise RestError("EXCEEDED_ID_LIMIT" if items else "MISSING_ARGUMENT", message)
    outcomes = [_outcome(change, item) for item in items]
    changes = [outcome for outcome in outcomes if not isinstance(outcome, RestError)]
    if str(all_or_none).casefold() == "true" and len(changes) < len(outcomes):
        outcomes = [
            outcome if isinstance(outcome, RestError) else RestError(*ROLLED_BACK)
            for outcome in outcomes
        ]
    elif changes:
        request.commit(*changes)
    return RestAnswer([_line(outcome, tells_created) for outcome in outcomes])


def _outcome(change: Callable[[Item], Written], item: Item) -> Written | RestError:
    try:
        return change(item)
    except RestError as refused:
        return refused


def _line(outcome: Written | RestError, tells_created: bool) -> JsonObject:
    if isinstance(outcome, RestError):
        return {"success": False, "errors": [outcome.line()]}
    line: JsonObject = {"id": changed_id(outcome), "success": True, "errors": []}
    return {**line, "created": isinstance(outcome, Create)} if tells_created else line


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
