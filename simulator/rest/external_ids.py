"""`/sobjects/{Entity}/{ExternalId}/{value}`: a record by an external id."""

from dataclasses import dataclass

from simulator.org.changes import Create, Update
from simulator.org.clock import Clock
from simulator.org.org import Org
from simulator.org.records import JsonObject
from simulator.rest.records import Records, changed_id
from simulator.rest_messages import RestAnswer, RestError, RestRequest

ANSWERS_UPDATES_SINCE = 46.0


@dataclass(frozen=True, slots=True)
class ExternalIds:
    """The resource of one record, addressed by an external id."""

    org: Org
    clock: Clock

    def read(self, request: RestRequest) -> RestAnswer:
        """`GET`."""
        records = Records(self.org, request.version)
        fields = request.query.get("fields", "")
        return RestAnswer(records.read(request.path[1], _found(records, request), fields))

    def upsert(self, request: RestRequest) -> RestAnswer:
        """`PATCH`."""
        entity, field, value = request.path[1:]
        records = Records(self.org, request.version)
        change = upsertion(records, entity, field, value, request.json())
        self.org.commit([change], now=self.clock.now(), writer=request.writer)
        is_new = isinstance(change, Create)
        body = {"id": changed_id(change), "success": True, "errors": [], "created": is_new}
        if is_new:
            return RestAnswer(body, 201)
        answers = float(request.version) >= ANSWERS_UPDATES_SINCE
        return RestAnswer(body) if answers else RestAnswer(status=204)

    def delete(self, request: RestRequest) -> RestAnswer:
        """`DELETE`."""
        records = Records(self.org, request.version)
        change = records.deletion(request.path[1], _found(records, request))
        self.org.commit([change], now=self.clock.now(), writer=request.writer)
        return RestAnswer(status=204)


def upsertion(
    records: Records, entity: str, field: str, value: str, body: JsonObject
) -> Create | Update:
    """Return the change that creates or updates the record with this external id. Raises
    RestError."""
    found = records.with_value(entity, field, value)
    if any(name.casefold() == field.casefold() for name in body):
        message = f"The {field} field should not be specified in the sobject data."
        raise RestError("INVALID_FIELD", message)
    if found:
        return records.update(entity, found[0].record_id, body)
    return records.creation(entity, {**body, field: value})


def _found(records: Records, request: RestRequest) -> str:
    entity, field, value = request.path[1:]
    found = records.with_value(entity, field, value)
    if not found:
        raise RestError("NOT_FOUND")
    return found[0].record_id
