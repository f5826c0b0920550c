"""The fields of an entity as the REST API names them: flat, where a record has compound ones."""

from collections.abc import Iterable, Mapping

from simulator.catalogue import SYSTEM_FIELDS, Entity
from simulator.records import JsonObject, Record
from simulator.representation import ADDRESS_PARTS, PERSON_NAME, record_json

READ_ONLY = ("Id", "IsDeleted", "SystemModstamp", *SYSTEM_FIELDS[1:])
DATETIMES = ("CreatedDate", "LastModifiedDate", "SystemModstamp")
TYPES: Mapping[str, str] = {
    "Id": "id",
    "IsDeleted": "boolean",
    "AnnualRevenue": "currency",
    "Amount": "currency",
    "Probability": "percent",
    "NumberOfEmployees": "int",
    "Tenure__c": "double",
    "CloseDate": "date",
    "Birthdate": "date",
    "Email": "email",
    "Phone": "phone",
    "Website": "url",
    "Description": "textarea",
    "Notes__c": "textarea",
    **dict.fromkeys(DATETIMES, "datetime"),
}


def field_names(entity: Entity) -> list[str]:
    """Every field of the entity's description."""
    names: list[str] = ["Id", "IsDeleted"]
    for name in entity.all_fields:
        names += [name, *_parts(entity, name)]
    return [*names, "SystemModstamp"]


def _parts(entity: Entity, name: str) -> list[str]:
    if name.endswith("Address"):
        return [name.removesuffix("Address") + part for part in ADDRESS_PARTS]
    return list(PERSON_NAME) if name == "Name" and entity.has_person_name else []


def is_writable(entity: Entity, name: str) -> bool:
    """Whether a client may set the field."""
    compound = bool(_parts(entity, name))
    numbered = name == "Name" and bool(entity.auto_name)
    return name not in READ_ONLY and not compound and not numbered


def describe(entity: Entity) -> JsonObject:
    """The answer to `…/describe`."""
    return {
        "name": entity.name,
        "label": entity.name.removesuffix("__c").replace("_", " "),
        "keyPrefix": entity.prefix,
        "custom": entity.name.endswith("__c"),
        "queryable": True,
        "createable": True,
        "updateable": True,
        "deletable": True,
        "fields": [_field(entity, name) for name in field_names(entity)],
    }


def describe_change_event(entity: Entity) -> JsonObject:
    """Of the entity's change event, in the list of all: it is there, selected or not."""
    return {
        "name": entity.change_event,
        "label": "Change Event",
        "keyPrefix": None,
        "custom": entity.name.endswith("__c"),
        "queryable": False,
        "createable": False,
        "updateable": False,
        "deletable": False,
        "associateEntityType": "ChangeEvent",
        "associateParentEntity": entity.name,
    }


def _field(entity: Entity, name: str) -> JsonObject:
    writable = is_writable(entity, name)
    return {
        "name": name,
        "label": name.removesuffix("__c").replace("_", " "),
        "type": _type(name),
        "custom": name.endswith("__c"),
        "nillable": name not in (*entity.required, *READ_ONLY),
        "createable": writable,
        "updateable": writable,
    }


def _type(name: str) -> str:
    if name.endswith("Address"):
        return "address"
    return TYPES.get(name, "reference" if name.endswith("Id") else "string")


class Fields:
    """Which field names are good for an entity.

    Those described, those that a record has been given through the control API, and any at all for
    an entity that was made there, as nobody said what fields it has.
    """

    def __init__(self, entity: Entity, records: Iterable[Record]) -> None:
        self._described = {name.casefold(): name for name in field_names(entity)}
        self._records = records
        self._any = not entity.fields

    def canonical(self, name: str) -> str | None:
        """The name as the org spells it; None if there is no such field."""
        found = self._described.get(name.casefold())
        if found is None and any(name in record_json(record, "") for record in self._records):
            found = name
        return found or (name if self._any else None)


def stored(entity: Entity, fields: JsonObject) -> JsonObject:
    """REST's flat fields as a record keeps them."""
    compounds = {
        part: (name, part.removeprefix(name.removesuffix("Address")))
        for name in entity.fields
        for part in _parts(entity, name)
    }
    result: JsonObject = {}
    for name, value in fields.items():
        if name in compounds:
            compound, child = compounds[name]
            result.setdefault(compound, {})[child if compound != "Name" else name] = value
        else:
            result[name] = value
    return result
