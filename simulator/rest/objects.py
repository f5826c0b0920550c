"""`/sobjects/…`: descriptions, and one record by its id or an external id."""

from email.utils import formatdate, parsedate_to_datetime

from simulator.org import description
from simulator.org.catalogue import SETUP, Entity
from simulator.org.changes import Create, Update
from simulator.org.records import JsonObject
from simulator.rest.errors import RestError
from simulator.rest.records import Records, changed_id
from simulator.rest.request import RestAnswer, RestRequest

ANSWERS_UPDATES_SINCE = 46.0


def describe_all(request: RestRequest) -> RestAnswer:
    """`GET …/sobjects`."""
    listed = []
    for entity in _objects(request):
        listed.append(description.summary(entity, request.version))
        if entity.visible and entity.name not in SETUP:
            listed.append(description.describe_change_event(entity))
    return _unless_known(request, {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": listed})


def about(request: RestRequest) -> RestAnswer:
    """`GET …/sobjects/{Object}`."""
    entity = request.records.entity(request.path[1])
    summary = description.summary(entity, request.version)
    return RestAnswer({"objectDescribe": summary, "recentItems": []})


def describe(request: RestRequest) -> RestAnswer:
    """`GET …/describe`, also for a change event."""
    name, records = request.path[1], request.records
    if event_of := request.sim.org.catalogue.by_change_event(name):
        return RestAnswer(description.describe_event(event_of, records.all_fields(event_of)))
    entity = records.entity(name)
    others = [other for other in _objects(request) if other.visible]
    return _unless_known(request, description.describe(entity, request.version, others))


def _objects(request: RestRequest) -> list[Entity]:
    return [*request.sim.org.catalogue.entities.values(), *SETUP.values()]


def _unless_known(request: RestRequest, body: JsonObject) -> RestAnswer:
    """Return the description, or 304 if it has not changed since `If-Modified-Since`."""
    changed_at = request.sim.descriptions.changed_at(
        request.url, body, int(request.sim.clock.now() / 1000)
    )
    headers = {"Last-Modified": formatdate(changed_at, usegmt=True)}
    try:
        known = parsedate_to_datetime(request.headers.get("If-Modified-Since", "")).timestamp()
    except ValueError:
        return RestAnswer(body, headers=headers)
    if known >= changed_at:
        return RestAnswer(status=304, headers=headers)
    return RestAnswer(body, headers=headers)


def create(request: RestRequest) -> RestAnswer:
    change = request.records.creation(request.path[1], request.json())
    request.commit(change)
    made: JsonObject = {"id": changed_id(change), "success": True, "errors": []}
    return RestAnswer(made, 201, {"Location": f"{request.url}/{made['id']}"})


def read(request: RestRequest) -> RestAnswer:
    fields = request.query.get("fields", "")
    return RestAnswer(request.records.read(request.path[1], _id(request), fields))


def update(request: RestRequest) -> RestAnswer:
    request.commit(request.records.update(request.path[1], _id(request), request.json()))
    return RestAnswer(status=204)


def delete(request: RestRequest) -> RestAnswer:
    request.commit(request.records.deletion(request.path[1], _id(request)))
    return RestAnswer(status=204)


def _id(request: RestRequest) -> str:
    """Return the id of the record that the path names by its id or by an external id."""
    _, entity, *named = request.path
    if len(named) == 1:
        return named[0]
    field, value = named
    found = request.records.with_value(entity, field, value)
    if not found:
        raise RestError("NOT_FOUND")
    return found[0].record_id


def upsert(request: RestRequest) -> RestAnswer:
    """`PATCH` with an external id."""
    _, entity, field, value = request.path
    change = upsertion(request.records, entity, field, value, request.json())
    request.commit(change)
    is_new = isinstance(change, Create)
    body = {"id": changed_id(change), "success": True, "errors": [], "created": is_new}
    if is_new:
        return RestAnswer(body, 201)
    answers = float(request.version) >= ANSWERS_UPDATES_SINCE
    return RestAnswer(body) if answers else RestAnswer(status=204)


def upsertion(
    records: Records, entity: str, field: str, value: str, body: JsonObject
) -> Create | Update:
    """Return the change that creates or updates the record of an external id. Raises RestError."""
    found = records.with_value(entity, field, value)
    if any(name.casefold() == field.casefold() for name in body):
        message = f"The {field} field should not be specified in the sobject data."
        raise RestError("INVALID_FIELD", message)
    if found:
        return records.update(entity, found[0].record_id, body)
    return records.creation(entity, {**body, field: value})
