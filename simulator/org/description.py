"""Entities and records in the form of the REST API: compound fields are flat."""

from collections.abc import Iterable, Mapping

from simulator.org.catalogue import SYSTEM_FIELDS, Entity
from simulator.org.records import JsonObject, Record, iso

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
    **dict.fromkeys(("IsActive", "IsSandbox"), "boolean"),
    **dict.fromkeys((*DATETIMES, "TrialExpirationDate"), "datetime"),
}
SOAP_TYPES: Mapping[str, str] = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "boolean": "xsd:boolean",
    "int": "xsd:int",
    **dict.fromkeys(("double", "currency", "percent"), "xsd:double"),
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
    "address": "urn:address",
}
ABILITIES = (
    *("queryable", "createable", "updateable", "deletable", "undeletable"),
    *("retrieveable", "replicateable", "searchable"),
)


def field_names(entity: Entity) -> list[str]:
    """Return every field in the entity's description."""
    names: list[str] = ["Id", "IsDeleted"]
    for name in entity.all_fields:
        names += [name, *_parts(entity, name)]
    return [*names, "SystemModstamp"]


def _parts(entity: Entity, name: str) -> list[str]:
    if name.endswith("Address"):
        return [name.removesuffix("Address") + part for part in ADDRESS_PARTS]
    return list(PERSON_NAME) if name == "Name" and entity.has_person_name else []


def is_writable(entity: Entity, name: str) -> bool:
    """Return whether a client may set the field."""
    compound = bool(_parts(entity, name))
    numbered = name == "Name" and bool(entity.auto_name)
    return name not in READ_ONLY and not compound and not numbered


def describe(entity: Entity, version: str) -> JsonObject:
    """Return the response to `…/describe`."""
    label = entity.name.removesuffix("__c").replace("_", " ")
    url = f"/services/data/v{version}/sobjects/{entity.name}"
    return {
        "name": entity.name,
        "label": label,
        "labelPlural": f"{label}s",
        "keyPrefix": entity.prefix,
        "custom": entity.name.endswith("__c"),
        "customSetting": False,
        **dict.fromkeys(ABILITIES, True),
        "childRelationships": [],
        "recordTypeInfos": [],
        "urls": {"sobject": url, "describe": f"{url}/describe", "rowTemplate": f"{url}/{{ID}}"},
        "fields": [_field(entity, name) for name in field_names(entity)],
    }


def describe_change_event(entity: Entity) -> JsonObject:
    """Return the change event in the list of all objects; it is listed even if not selected."""
    return {
        "name": entity.change_event,
        "label": "Change Event",
        "keyPrefix": None,
        "custom": entity.name.endswith("__c"),
        **dict.fromkeys(ABILITIES, False),
        "associateEntityType": "ChangeEvent",
        "associateParentEntity": entity.name,
    }


def describe_event(entity: Entity, names: Iterable[str]) -> JsonObject:
    """Return the response to `…/describe` of the entity's change event; `names` are its records'
    fields."""
    carried = [name for name in names if name not in ("Id", "IsDeleted", "SystemModstamp")]
    return {
        **describe_change_event(entity),
        "fields": [
            {"name": "ReplayId", "type": "string"},
            {"name": "ChangeEventHeader", "type": "complexvalue"},
            *(_field(entity, name) for name in carried),
        ],
    }


def _field(entity: Entity, name: str) -> JsonObject:
    writable, kind = is_writable(entity, name), _type(name)
    is_external_id = name in entity.external_ids
    referred = _referred(name) if kind == "reference" else ""
    compound = next((field for field in entity.all_fields if name in _parts(entity, field)), None)
    return {
        "name": name,
        "label": name.removesuffix("__c").replace("_", " "),
        "type": kind,
        "soapType": SOAP_TYPES.get(kind, "xsd:string"),
        "custom": name.endswith("__c"),
        "length": 18 if kind in ("id", "reference") else 0 if kind in SOAP_TYPES else 255,
        "nillable": name not in (*entity.required, *READ_ONLY),
        "createable": writable,
        "updateable": writable,
        "filterable": kind != "address",
        "calculated": False,
        "autoNumber": name == "Name" and bool(entity.auto_name),
        "nameField": name == "Name",
        "externalId": is_external_id,
        "unique": is_external_id,
        "caseSensitive": False,
        "idLookup": is_external_id or name == "Id",
        "compoundFieldName": compound,
        "referenceTo": [referred] if referred else [],
        "relationshipName": name.removesuffix("Id") if referred else None,
        "picklistValues": [],
    }


def _referred(name: str) -> str:
    """Return the object that a reference field points to."""
    bare = name.removesuffix("Id")
    return "User" if bare in ("Owner", "CreatedBy", "LastModifiedBy") else bare


def field_type(_entity: Entity, name: str) -> str:
    """Return the type of a field."""
    return _type(name)


def _type(name: str) -> str:
    if name.endswith("Address"):
        return "address"
    return TYPES.get(name, "reference" if name.endswith("Id") else "string")


def spelt(entity: Entity, records: Iterable[Record], name: str) -> str | None:
    """Return the name of a field as the org spells it, or None if there is no such field.

    Valid names are the described fields, fields that a record has through the control API, and any
    name for an entity that was added there, because its fields are not defined.
    """
    for known in field_names(entity):
        if known.casefold() == name.casefold():
            return known
    if not entity.fields or any(name in record_json(record, "") for record in records):
        return name
    return None


def stored(entity: Entity, fields: JsonObject) -> JsonObject:
    """Return REST's flat fields in the form that a record stores."""
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


PERSON_NAME = ("Salutation", "FirstName", "MiddleName", "LastName", "Suffix")
ADDRESS_PARTS = (
    *("Street", "City", "State", "PostalCode", "Country"),
    *("Latitude", "Longitude", "GeocodeAccuracy"),
)


def record_json(record: Record, version: str, *, deleted: bool = False) -> JsonObject:
    """Return all fields of the record."""
    shown: JsonObject = {"Id": record.record_id, "IsDeleted": deleted}
    for name, value in record.fields.items():
        shown |= _shown(name, value)
    shown["SystemModstamp"] = rest_time(iso(record.modified_at))
    url = f"/services/data/v{version}/sobjects/{record.entity}/{record.record_id}"
    return {"attributes": {"type": record.entity, "url": url}, **shown}


def chosen_fields(shown: JsonObject, names: Iterable[str]) -> JsonObject:
    """Return only these fields, in this order, null if empty."""
    return {"attributes": shown["attributes"], **{name: shown.get(name) for name in names}}


def _shown(name: str, value: object) -> JsonObject:
    if name == "Name" and isinstance(value, dict):
        parts = (value.get(part) for part in ("FirstName", "MiddleName", "LastName"))
        return {
            "Name": " ".join(part for part in parts if part),
            **{part: value.get(part) for part in PERSON_NAME if part in value},
        }
    if name.endswith("Address") and isinstance(value, dict):
        kind = name.removesuffix("Address")
        whole: JsonObject = {**dict.fromkeys(ADDRESS_PARTS), **value}
        flat = {f"{kind}{part}": child for part, child in whole.items()}
        shown = {part[0].lower() + part[1:]: child for part, child in sorted(whole.items())}
        return {name: shown, **flat}
    if name.endswith("Date") and isinstance(value, str):
        return {name: rest_time(value)}
    return {name: value}


def rest_time(value: str) -> str:
    """Return the time in REST's form, with `+0000` instead of `Z`."""
    return value.removesuffix("Z") + "+0000" if value.endswith("Z") else value
