"""The Avro schemas of the org's change events, and their versions."""

from dataclasses import replace

from simulator.org.avro.avro_types import (
    AVRO_NAME,
    COMPOUNDS,
    KINDS,
    Field,
    field_for,
    field_of_kind,
)
from simulator.org.avro.schema import (
    UNREADABLE,
    Schema,
    UnfitError,
    fitted,
    replaced,
    widened,
    with_field,
)
from simulator.org.catalogue import Catalogue, Entity
from simulator.org.description import field_type
from simulator.org.ids import schema_id
from simulator.org.records import JsonObject

#: Fields of these types are never in change events.
NOT_SENT = ("base64", "complexvalue", "JunctionIdList")


class Schemas:
    """The current schema of each entity, and all past schemas by id."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._current: dict[str, Schema] = {}
        self.by_id: dict[str, Schema] = {}

    def current(self, entity: str) -> Schema:
        """Return the current schema. Raises UnfitError for a name that Avro does not allow."""
        if entity not in self._current:
            known = self._catalogue.entities.get(entity)
            record = (known or Entity(entity, "")).change_event
            if not AVRO_NAME.fullmatch(record):
                raise UnfitError(f"no Avro record can have the name {record!r}")
            names = known.all_fields if known else ()
            fields = tuple(
                _described(known, name)
                for name in names
                if known and field_type(known, name) not in NOT_SENT
            )
            compounds = {
                field.compound: COMPOUNDS[field.compound] for field in fields if field.compound
            }
            self._keep(entity, Schema(record, fields, compounds))
        return self._current[entity]

    def _keep(self, entity: str, schema: Schema) -> None:
        self._current[entity] = schema
        self.by_id[schema.schema_id] = schema

    def add_field(self, entity: str, name: str, kind: str) -> None:
        """Add a field of one of `avro_types.KINDS`, in a new version. Raises UnfitError."""
        schema = self.current(entity)
        if kind not in KINDS or not AVRO_NAME.fullmatch(name):
            raise UnfitError(f"{name!r} cannot be a {kind!r}; known are {', '.join(KINDS)}")
        if schema.field(name):
            raise UnfitError(f"{entity} has the field {name!r} already")
        self._keep(entity, with_field(schema, field_of_kind(name, kind), self._fixed(entity)))

    def change_type(self, entity: str, name: str, kind: str) -> None:
        """Change the type of a field to one of `avro_types.KINDS`, in a new version.

        Raises UnfitError.
        """
        schema = self.current(entity)
        if kind not in KINDS:
            raise UnfitError(f"{name!r} cannot be a {kind!r}; known are {', '.join(KINDS)}")
        if schema.field(name) is None:
            raise UnfitError(f"the change event of {entity} has no field {name!r}")
        self._keep(entity, replaced(schema, field_of_kind(name, kind)))

    def for_event(self, entity: str, payload: JsonObject) -> tuple[str, bytes | None]:
        """Return the schema id of an event, and its payload if Avro cannot hold it.

        Adds a new version if the event needs one.
        """
        try:
            before = self.current(entity)
        except UnfitError:
            return schema_id(entity), UNREADABLE
        try:
            schema = fitted(before, payload, self._fixed(entity))
        except UnfitError:
            return before.schema_id, UNREADABLE
        if schema is not before:
            self._keep(entity, schema)
        return schema.schema_id, None

    def in_order(self, entity: str, change_type: str, fields: JsonObject) -> tuple[JsonObject, str]:
        """Return the fields, with the children of compound ones, in the schema's order, and its id.

        The id is empty for an event that needs `for_event`.
        """
        try:
            schema = before = self.current(entity)
            for name, value in fields.items():
                schema = widened(schema, name, value, self._fixed(entity))
        except UnfitError:
            return fields, ""
        if schema is not before:
            self._keep(entity, schema)
        ordered = sorted(fields.items(), key=lambda item: schema.positions[item[0]])
        sorted_fields = {
            name: _ordered(value, schema.children.get(name, ())) for name, value in ordered
        }
        return sorted_fields, schema.schema_id if change_type in schema.change_types else ""

    def _fixed(self, entity: str) -> int:
        """Return the number of fields that keep the catalogue's order."""
        known = self._catalogue.entities.get(entity)
        return len(known.all_fields) if known else 0


def _ordered(value: object, children: tuple[str, ...]) -> object:
    if not isinstance(value, dict):
        return value
    return {name: value[name] for name in children if name in value}


def _described(entity: Entity, name: str) -> Field:
    if name == "Name" and entity.has_person_name:
        return Field(name, "Data:PersonName", (), "PersonName")
    if name == "Name" and entity.name == "Account":
        return Field(name, "Data:Switchable_PersonName", ("string",), "Switchable_PersonName")
    if name == "CleanStatus":
        return Field(name, "Data:StaticEnum", ("string",))
    kind = field_type(entity, name)
    if kind == "address":
        return replace(field_for(name, {}), compound="Address", doc="Data:Address")
    if kind == "location":
        return field_for(name, {"Latitude": None, "Longitude": None})
    return field_of_kind(name, kind)
