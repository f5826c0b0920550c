"""Records over REST: read one or many, create, update, delete, describe."""

import re
from collections.abc import Iterable

from simulator.catalogue import Entity
from simulator.changes import Create, Delete, Update
from simulator.description import (
    Fields,
    describe,
    describe_change_event,
    field_names,
    is_writable,
    stored,
)
from simulator.ids import with_checksum
from simulator.org import Org, Writer
from simulator.records import JsonObject, Record, UnknownRecordError
from simulator.representation import chosen_fields, record_json
from simulator.rest_errors import RestError

MAX_IDS = 2_000
RECORD_ID = re.compile(r"[0-9A-Za-z]{15}(?:[A-Z0-5]{3})?")


class Records:
    """The records of an org, for one API version; raises RestError."""

    def __init__(self, org: Org, version: str) -> None:
        self._org = org
        self._version = version

    def read(self, name: str, record_id: str, fields: str) -> JsonObject:
        """`GET …/sobjects/{Entity}/{Id}?fields=…`."""
        entity = self._entity(name)
        shown = record_json(self._record(entity, record_id), self._version)
        if fields:
            return chosen_fields(shown, self._known(entity, fields.split(",")))
        return {**dict.fromkeys(("attributes", *self._all_fields(entity))), **shown}

    def read_many(self, name: str, ids: list[str], fields: list[str]) -> list[object]:
        """`…/composite/sobjects/{Entity}`: the records in the order asked for, null where none."""
        entity = self._entity(name)
        if not any(ids) or not any(fields):
            raise RestError("MALFORMED_QUERY", "ids and fields must not be empty")
        if len(ids) > MAX_IDS:
            raise RestError("EXCEEDED_ID_LIMIT", f"cannot specify more than {MAX_IDS} ids")
        known = self._known(entity, fields)
        live = self._org.store.live.get(entity.name, {})
        found = [live.get(self._valid_id(entity, one)) for one in ids]
        return [
            chosen_fields(record_json(record, self._version), known) if record else None
            for record in found
        ]

    def create(self, name: str, body: JsonObject, writer: Writer, now: int) -> JsonObject:
        """`POST …/sobjects/{Entity}`."""
        entity = self._entity(name)
        values = self._writable(entity, body)
        self._check_required(entity, [one for one in entity.required if values.get(one) is None])
        change = Create(entity.name, (stored(entity, values),))
        self._org.commit([change], now=now, writer=writer)
        record_id = next(reversed(self._org.store.live[entity.name]))
        return {"id": record_id, "success": True, "errors": []}

    def update(self, name: str, record_id: str, body: JsonObject, writer: Writer, now: int) -> None:
        """`PATCH …/sobjects/{Entity}/{Id}`."""
        entity = self._entity(name)
        record = self._record(entity, record_id)
        if "Id" in body:
            raise RestError(
                "INVALID_FIELD", "The Id field should not be specified in the sobject data."
            )
        values = self._writable(entity, body)
        cleared = [one for one in entity.required if one in values and values[one] is None]
        self._check_required(entity, cleared)
        change = Update(entity.name, (record.record_id,), stored(entity, values))
        self._org.commit([change], now=now, writer=writer)

    def delete(self, name: str, record_id: str, writer: Writer, now: int) -> None:
        """`DELETE …/sobjects/{Entity}/{Id}`."""
        entity = self._entity(name)
        record = self._record(entity, record_id)
        self._org.commit([Delete(entity.name, (record.record_id,))], now=now, writer=writer)

    def describe(self, name: str) -> JsonObject:
        """`GET …/sobjects/{Entity}/describe`."""
        return describe(self._entity(name))

    def describe_all(self) -> JsonObject:
        """`GET …/sobjects`."""
        listed = []
        for entity in self._org.catalogue.entities.values():
            described = describe(entity)
            del described["fields"]
            listed.append(described)
            if entity.visible:
                listed.append(describe_change_event(entity))
        return {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": listed}

    def _entity(self, name: str) -> Entity:
        entity = self._org.catalogue.find(name)
        if entity is None:
            raise RestError("NOT_FOUND")
        return entity

    def _record(self, entity: Entity, record_id: str) -> Record:
        store = self._org.store
        known_id = self._valid_id(entity, record_id)
        if store.is_deleted(entity.name, known_id):
            raise RestError("ENTITY_IS_DELETED", fields=[])
        try:
            return store.get(entity.name, known_id)
        except UnknownRecordError:
            raise RestError("NOT_FOUND") from None

    def _valid_id(self, entity: Entity, record_id: str) -> str:
        """The 18-character form; an id that the control API made up is good as it is."""
        store = self._org.store
        if record_id in store.live.get(entity.name, {}) or store.is_deleted(entity.name, record_id):
            return record_id
        long = with_checksum(record_id[:15]) if RECORD_ID.fullmatch(record_id) else ""
        if not long or record_id not in (long, long[:15]):
            raise RestError("MALFORMED_ID", f"malformed id {record_id}", ["Id"])
        if not long.startswith(entity.prefix):
            message = f"{entity.name} ID: id value of incorrect type: {record_id}"
            raise RestError("MALFORMED_ID", message, ["Id"])
        return long

    def _all_fields(self, entity: Entity) -> list[str]:
        """The described ones, and those that a record has been given through the control API."""
        live = self._org.store.live.get(entity.name, {}).values()
        return [*field_names(entity), *sorted({name for record in live for name in record.fields})]

    def _known(self, entity: Entity, names: Iterable[str]) -> list[str]:
        fields = Fields(entity, self._org.store.live.get(entity.name, {}).values())
        known = []
        for name in names:
            canonical = fields.canonical(name.strip())
            if canonical is None:
                message = f"No such column '{name}' on sobject of type {entity.name}"
                raise RestError("INVALID_FIELD", message)
            known.append(canonical)
        return known

    def _writable(self, entity: Entity, body: JsonObject) -> JsonObject:
        given = {name: value for name, value in body.items() if name != "attributes"}
        values = dict(zip(self._known(entity, given), given.values(), strict=True))
        if refused := [name for name in values if not is_writable(entity, name)]:
            message = (
                f"Unable to create/update fields: {', '.join(refused)}. Please check the security "
                "settings of this field and verify that it is read/write for your profile or "
                "permission set."
            )
            raise RestError("INVALID_FIELD_FOR_INSERT_UPDATE", message, refused)
        return values

    def _check_required(self, entity: Entity, missing: list[str]) -> None:
        if missing:
            message = f"Required fields are missing: [{', '.join(missing)}]"
            raise RestError("REQUIRED_FIELD_MISSING", message, missing)
