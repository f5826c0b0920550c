"""The descriptions of entities and of their fields, and the form in which records store these."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache

from simulator.org.catalogue import SETUP, SYSTEM_FIELDS, Entity
from simulator.org.fields import COMPOUND, Field, described
from simulator.org.records import JsonObject
from simulator.org.standard_fields import (
    definition,
    parts,
)

MASTER = "MasterRecordId"
READ_ONLY = ("Id", "IsDeleted", "SystemModstamp", *SYSTEM_FIELDS[1:])
DATETIMES = ("CreatedDate", "LastModifiedDate", "SystemModstamp")
MERGEABLE = ("Account", "Contact", "Case")
ABILITIES = ("queryable", "retrieveable", "replicateable", "searchable", "layoutable")
WRITE_ABILITIES = ("createable", "updateable", "deletable", "undeletable", "triggerable")


def definitions(entity: Entity) -> Mapping[str, Field]:
    """Return every field of the entity's description by name, in its order."""
    return _definitions(*_defining(entity), entity.hidden)


def all_definitions(entity: Entity) -> Mapping[str, Field]:
    """Return the same, with the fields that the integration user may not see."""
    return _definitions(*_defining(entity), ())


def hidden_names(entity: Entity) -> frozenset[str]:
    """Return the fields that the integration user may not see, with the parts of compound ones."""
    if not entity.hidden:
        return frozenset()
    return frozenset({*entity.hidden, *(all_definitions(entity).keys() - definitions(entity))})


Defining = tuple[
    str, tuple[str, ...], tuple[Field, ...], tuple[tuple[str, ...], tuple[str, ...], bool]
]


def _defining(entity: Entity) -> Defining:
    names = ("Id", "IsDeleted", *entity.all_fields)
    master = (_master(entity),) if entity.name in MERGEABLE else ()
    own = (*master, *entity.own, *entity.added)
    return entity.name, names, own, (entity.external_ids, entity.required, entity.has_person_name)


def _master(entity: Entity) -> Field:
    """Return the field with the record that a record was merged into."""
    return Field(
        MASTER,
        "reference",
        is_writable=False,
        refers_to=(entity.name,),
        relationship="MasterRecord",
    )


@lru_cache(maxsize=256)
def _definitions(
    entity: str,
    names: tuple[str, ...],
    own: tuple[Field, ...],
    marks: tuple[tuple[str, ...], tuple[str, ...], bool],
    hidden: tuple[str, ...],
) -> Mapping[str, Field]:
    external_ids, required, is_person = marks
    by_name = {field.name: field for field in own}
    named = dict.fromkeys((*names, *by_name, "SystemModstamp"))
    found: dict[str, Field] = {}
    for name in named:
        field = by_name.get(name) or definition(entity, name)
        for one in (field, *parts(field, is_person=is_person)):
            if one.name not in hidden and one.compound not in hidden:
                found[one.name] = _refined(one, external_ids, required)
    return found


def _refined(field: Field, external_ids: tuple[str, ...], required: tuple[str, ...]) -> Field:
    is_external_id = field.name in external_ids
    return replace(
        field,
        is_external_id=field.is_external_id or is_external_id,
        is_unique=field.is_unique or is_external_id,
        is_required=field.is_required or field.name in required,
    )


def field_names(entity: Entity) -> list[str]:
    """Return every field in the entity's description, without those that are hidden."""
    return list(definitions(entity))


def is_writable(entity: Entity, name: str) -> bool:
    """Return whether a client may set the field; it may set one that is not described."""
    field = definitions(entity).get(name)
    if field is None:
        return True
    numbered = name == "Name" and bool(entity.auto_name)
    return field.is_writable and field.type not in COMPOUND and not numbered


def checkboxes(entity: Entity) -> list[str]:
    """Return the entity's own boolean fields, which are never empty."""
    fields = all_definitions(entity).values()
    return [field.name for field in fields if field.type == "boolean" and field.name != "IsDeleted"]


def field_type(entity: Entity, name: str) -> str:
    """Return the type of a field in the entity's description."""
    field = all_definitions(entity).get(name)
    return field.type if field else "string"


def describe(entity: Entity, version: str, others: Iterable[Entity] = ()) -> JsonObject:
    """Return the response to `…/describe`; `others` are the objects that may refer to it."""
    url = f"/services/data/v{version}/sobjects/{entity.name}"
    return {
        **summary(entity, version),
        "childRelationships": list(_children(entity, others)),
        "recordTypeInfos": [],
        "urls": {"sobject": url, "describe": f"{url}/describe", "rowTemplate": f"{url}/{{ID}}"},
        "fields": [described(_numbered(entity, field)) for field in definitions(entity).values()],
    }


def summary(entity: Entity, version: str) -> JsonObject:
    """Return the object as in the list of all objects."""
    label = entity.name.removesuffix("__c").replace("_", " ")
    url = f"/services/data/v{version}/sobjects/{entity.name}"
    is_setup = entity.name in SETUP
    return {
        "name": entity.name,
        "label": label,
        "labelPlural": f"{label}s",
        "keyPrefix": entity.prefix,
        "custom": entity.name.endswith("__c"),
        "customSetting": False,
        "deprecatedAndHidden": False,
        **dict.fromkeys(ABILITIES, True),
        **dict.fromkeys(WRITE_ABILITIES, not is_setup),
        "replicateable": entity.replicateable,
        "mergeable": entity.name in MERGEABLE,
        "urls": {"sobject": url, "describe": f"{url}/describe", "rowTemplate": f"{url}/{{ID}}"},
    }


def _numbered(entity: Entity, field: Field) -> Field:
    """Return the field as it is if the entity numbers its records."""
    if field.name != "Name" or not entity.auto_name:
        return field
    return replace(field, is_auto_number=True, is_writable=False)


def _children(entity: Entity, others: Iterable[Entity]) -> Iterator[JsonObject]:
    """Yield the relationships of fields that refer to the entity."""
    for other in others:
        for field in definitions(other).values():
            if entity.name in field.refers_to:
                yield {
                    "cascadeDelete": field.cascades,
                    "childSObject": other.name,
                    "deprecatedAndHidden": False,
                    "field": field.name,
                    "junctionIdListNames": [],
                    "junctionReferenceTo": [],
                    "relationshipName": _child_relationship(other, field),
                    "restrictedDelete": False,
                }


def _child_relationship(child: Entity, field: Field) -> str | None:
    """Return the name of the relationship from the parent; users have none of their records."""
    if field.name in ("OwnerId", "CreatedById", "LastModifiedById"):
        return None
    if child.name.endswith("__c"):
        return child.name.removesuffix("c") + "r"
    return "Opportunities" if child.name == "Opportunity" else f"{child.name}s"


def describe_change_event(entity: Entity) -> JsonObject:
    """Return the change event in the list of all objects; it is listed even if not selected."""
    return {
        "name": entity.change_event,
        "label": "Change Event",
        "keyPrefix": None,
        "custom": entity.name.endswith("__c"),
        **dict.fromkeys((*ABILITIES, *WRITE_ABILITIES, "mergeable"), False),
        "associateEntityType": "ChangeEvent",
        "associateParentEntity": entity.name,
    }


def describe_event(entity: Entity, names: Iterable[str]) -> JsonObject:
    """Return the response to `…/describe` of the entity's change event; `names` are its records'
    fields."""
    known = definitions(entity)
    carried = [
        known.get(name) or Field(name)
        for name in names
        if name not in ("Id", "IsDeleted", MASTER, "SystemModstamp", *entity.formulas)
    ]
    return {
        **describe_change_event(entity),
        "fields": [
            {"name": "ReplayId", "type": "string"},
            {"name": "ChangeEventHeader", "type": "complexvalue"},
            *(described(_numbered(entity, field)) for field in carried),
        ],
    }


def spelt(entity: Entity, seen: Iterable[str], name: str) -> str | None:
    """Return the name of a field as the org spells it, or None if there is no such field.

    Valid names are the described fields, fields `seen` on a record that the control API wrote, and
    any name for an entity that was added there, because its fields are not defined.
    """
    for known in field_names(entity):
        if known.casefold() == name.casefold():
            return known
    is_hidden = name.casefold() in {hidden.casefold() for hidden in hidden_names(entity)}
    return name if not is_hidden and (not entity.fields or name in seen) else None


def stored(entity: Entity, fields: JsonObject) -> JsonObject:
    """Return REST's flat fields in the form that a record stores."""
    known = definitions(entity)
    result: JsonObject = {}
    for name, value in fields.items():
        if (field := known.get(name)) and field.compound:
            result.setdefault(field.compound, {})[field.key] = value
        else:
            result[name] = value
    return result
