"""Records over REST: reading them, and the changes of write requests."""

import re
from collections.abc import Iterable

from simulator.org.catalogue import SETUP, Entity
from simulator.org.changes import Create, Delete, Update
from simulator.org.description import (
    field_names,
    hidden_names,
    is_writable,
    spelt,
    stored,
)
from simulator.org.ids import with_checksum
from simulator.org.org import Org
from simulator.org.records import JsonObject, Record
from simulator.org.rest_form import chosen_fields
from simulator.org.seeded_rows import SeededRows
from simulator.rest.errors import RestError

MAX_IDS = 2_000
RECORD_ID = re.compile(r"[0-9A-Za-z]{15}(?:[A-Z0-5]{3})?")

Written = Create | Update | Delete


class Records:
    """The records of an org, for one API version. Methods raise RestError."""

    def __init__(self, org: Org, version: str) -> None:
        self._org = org
        self._version = version

    def read(self, name: str, record_id: str, fields: str) -> JsonObject:
        """`GET …/sobjects/{Entity}/{Id}?fields=…`."""
        entity = self.entity(name)
        shown = self._org.view.row(self._record(entity, record_id), self._version)
        if fields:
            return chosen_fields(shown, self._known(entity, fields.split(",")))
        return {**dict.fromkeys(("attributes", *self.all_fields(entity))), **shown}

    def read_many(self, name: str, ids: list[str], fields: list[str]) -> list[object]:
        """`…/composite/sobjects/{Entity}`: the records in the order asked for, null where none."""
        entity = self.entity(name)
        if not any(ids) or not any(fields):
            raise RestError("MALFORMED_QUERY", "ids and fields must not be empty")
        if len(ids) > MAX_IDS:
            raise RestError("EXCEEDED_ID_LIMIT", f"cannot specify more than {MAX_IDS} ids")
        known = self._known(entity, fields)
        live = self._org.records_of(entity)
        found = [live.get(self._valid_id(entity, record_id)) for record_id in ids]
        return [
            chosen_fields(self._org.view.row(record, self._version), known) if record else None
            for record in found
        ]

    def creation(self, name: str, body: JsonObject) -> Create:
        """Return the change that creates a record from this body; its id is already chosen."""
        entity = self._writable_entity(name)
        values = self._values(entity, body)
        return Create(entity.name, (values,), self._org.ids.next(entity.prefix))

    def update(self, name: str, record_id: str, body: JsonObject) -> Update:
        entity = self._writable_entity(name)
        record = self._record(entity, record_id)
        if "Id" in body:
            raise RestError(
                "INVALID_FIELD", "The Id field should not be specified in the sobject data."
            )
        values = self._values(entity, body, record.record_id)
        return Update(entity.name, (record.record_id,), values)

    def deletion(self, name: str, record_id: str) -> Delete:
        entity = self._writable_entity(name)
        return Delete(entity.name, (self._record(entity, record_id).record_id,))

    def entity_of_id(self, record_id: str) -> Entity:
        """Return the entity of an id, by its first three characters."""
        for entity in self._org.catalogue.entities.values():
            if record_id.startswith(entity.prefix):
                return entity
        raise RestError("MALFORMED_ID", f"malformed id {record_id}", ["Id"])

    def with_value(self, name: str, field: str, value: str) -> list[Record]:
        """Return the live records with this external id."""
        entity = self.entity(name)
        known = next((own for own in entity.external_ids if own.casefold() == field.casefold()), "")
        if not known:
            message = f"Provided external ID field does not exist or is not accessible: {field}"
            raise RestError("NOT_FOUND", message)
        return self._having(entity, known, value)

    def entity(self, name: str) -> Entity:
        """Return the entity of this name, ignoring case."""
        entity = self._org.catalogue.find(name)
        if entity is None:
            raise RestError("NOT_FOUND")
        return entity

    def _writable_entity(self, name: str) -> Entity:
        entity = self.entity(name)
        if entity.name in SETUP:
            raise RestError("INSUFFICIENT_ACCESS")
        return entity

    def _record(self, entity: Entity, record_id: str) -> Record:
        store = self._org.store
        known_id = self._valid_id(entity, record_id)
        if store.is_deleted(entity.name, known_id):
            raise RestError("ENTITY_IS_DELETED", fields=[])
        if (record := self._org.records_of(entity).get(known_id)) is None:
            raise RestError("NOT_FOUND")
        return record

    def _valid_id(self, entity: Entity, record_id: str) -> str:
        """Return the 18-character form; an id set through the control API is returned unchanged."""
        if record_id in self._org.records_of(entity) or self._org.store.is_deleted(
            entity.name, record_id
        ):
            return record_id
        long = with_checksum(record_id[:15]) if RECORD_ID.fullmatch(record_id) else ""
        if not long or record_id not in (long, long[:15]):
            raise RestError("MALFORMED_ID", f"malformed id {record_id}", ["Id"])
        if not long.startswith(entity.prefix):
            message = f"{entity.name} ID: id value of incorrect type: {record_id}"
            raise RestError("MALFORMED_ID", message, ["Id"])
        return long

    def all_fields(self, entity: Entity) -> list[str]:
        """Return the described fields, and fields that a record has through the control API."""
        known, hidden = field_names(entity), hidden_names(entity)
        return [*known, *sorted(self._seen(entity) - hidden - {*known})]

    def _seen(self, entity: Entity) -> set[str]:
        return self._org.store.names.get(entity.name, set())

    def _known(self, entity: Entity, names: Iterable[str]) -> list[str]:
        known = []
        for name in names:
            canonical = spelt(entity, self._seen(entity), name.strip())
            if canonical is None:
                message = f"No such column '{name}' on sobject of type {entity.name}"
                raise RestError("INVALID_FIELD", message)
            known.append(canonical)
        return known

    def _values(self, entity: Entity, body: JsonObject, record_id: str = "") -> JsonObject:
        """Return what to write to this or to a new record, in the form that a record stores."""
        given = {name: value for name, value in body.items() if name != "attributes"}
        values = dict(zip(self._known(entity, given), given.values(), strict=True))
        if refused := [name for name in values if not is_writable(entity, name)]:
            message = (
                f"Unable to create/update fields: {', '.join(refused)}. Please check the security "
                "settings of this field and verify that it is read/write for your profile or "
                "permission set."
            )
            raise RestError("INVALID_FIELD_FOR_INSERT_UPDATE", message, refused)
        absent = "" if record_id else None  # an update may leave out a required field
        if missing := [name for name in entity.required if values.get(name, absent) is None]:
            message = f"Required fields are missing: [{', '.join(missing)}]"
            raise RestError("REQUIRED_FIELD_MISSING", message, missing)
        self._check_unique(entity, values, record_id)
        return stored(entity, values)

    def _check_unique(self, entity: Entity, values: JsonObject, record_id: str) -> None:
        for name in entity.external_ids:
            if values.get(name) is None:
                continue
            for record in self._having(entity, name, str(values[name])):
                if record.record_id != record_id:
                    message = (
                        f"duplicate value found: {name} duplicates value on record with id: "
                        f"{record.record_id}"
                    )
                    raise RestError("DUPLICATE_VALUE", message, [])

    def _having(self, entity: Entity, name: str, value: str) -> list[Record]:
        wanted = value.casefold()
        rows = self._org.records_of(entity)
        records = rows.stored() if isinstance(rows, SeededRows) else rows.values()
        return [
            record for record in records if str(record.fields.get(name, "")).casefold() == wanted
        ]


def changed_id(change: Written) -> str:
    """Return the id of the record that a write request names."""
    match change:
        case Create(record_id=record_id):
            return record_id
        case Update(record_ids=(record_id,)) | Delete(record_ids=(record_id,)):
            return record_id
    raise ValueError(f"not a change of one record: {change}")
