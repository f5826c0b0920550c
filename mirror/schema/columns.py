"""The columns of a mirrored model, and the API names of the fields that they hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any, TypeAlias

from django.apps import apps
from django.db import models

from mirror.schema.naming import NOT_KEPT, OWN, column_name

Field: TypeAlias = "models.Field[Any, Any]"

_KINDS: Mapping[str, type[models.Field[Any, Any]]] = {
    "salesforce_id": models.CharField,
    "is_deleted": models.BooleanField,
    "is_complete": models.BooleanField,
    "synced_at": models.DateTimeField,
    "version": models.DateTimeField,
    "raw": models.JSONField,
}
_ID_LENGTH = 18
_NOT_KEPT = {column_name(name): name for name in NOT_KEPT}


class NotMirrorable(ValueError):
    """The model lacks what a mirror needs; the message says what to add."""


@dataclass(frozen=True)
class Columns:
    """The columns of a mirrored model, without its own ones (`naming.OWN`), by attribute name.

    A column's name does not determine whether it holds `Region` or `Region__c`. `against` decides
    that by the names of the object's fields, and returns the columns with `fields`.
    """

    model: type[models.Model]
    salesforce_object: str
    columns: Mapping[str, Field]
    #: The class's `salesforce_fields`: column → API name.
    declared: Mapping[str, str]
    resolved: Resolved | None = None

    @property
    def label(self) -> str:
        return self.model._meta.label

    @property
    def fields(self) -> Mapping[str, Field]:
        """The columns by the API name of the field that they hold."""
        return self.resolution.fields

    @property
    def types(self) -> Mapping[str, Field]:
        """The columns that hold the object that a polymorphic reference points to, by API name of
        the reference: `WhoId` → `who_type`."""
        return self.resolution.types

    @property
    def missing(self) -> Mapping[str, Field]:
        """The columns whose field the object does not have, or hides from the user."""
        return self.resolution.missing

    @property
    def names(self) -> frozenset[str]:
        """The API names of all fields of the object."""
        return self.resolution.names

    @property
    def resolution(self) -> Resolved:
        """The result of `against`."""
        if self.resolved is None:
            raise TypeError(f"Call columns_of({self.label}).against(names) for its fields.")
        return self.resolved

    def against(self, names: Iterable[str], *, without: Iterable[str] = ()) -> Columns:
        """Return these columns with the fields of an object whose fields have these API names.

        A mapping, such as `Mirror.described`, gives the types of its fields too. The fields of
        `without` hold no column by the rule of names.
        """
        types = names.items() if isinstance(names, Mapping) else ((name, "") for name in names)
        return _against(self.model, frozenset(types), frozenset(without))


@dataclass(frozen=True, eq=False)
class Resolved:
    """The fields of one object that a model's columns hold."""

    names: frozenset[str]
    #: The fields' types by API name, as far as they are known.
    described: Mapping[str, str]
    fields: Mapping[str, Field]
    types: Mapping[str, Field]
    missing: Mapping[str, Field]


def model_named(label: str) -> type[models.Model]:
    """Return the model with that label, such as `crm.Account`. Raises NotMirrorable."""
    try:
        return apps.get_model(label)
    except (LookupError, ValueError):
        raise NotMirrorable(
            f"There is no model {label!r}. Write it as app.Model, and add the app to CDC_APPS."
        ) from None


@cache
def columns_of(model: type[models.Model]) -> Columns:
    """Return the columns of a mirrored model. Raises NotMirrorable.

    The class says `salesforce_object`, and `salesforce_fields`, {"column": "ApiName"}, for columns
    whose API names do not follow the naming rule.
    """
    label = model._meta.label
    name = getattr(model, "salesforce_object", None)
    if not isinstance(name, str) or not name:
        raise NotMirrorable(
            f'{label} does not say which object it mirrors: add salesforce_object = "Account" '
            "to the class."
        )
    concrete = {
        field.attname: field
        for field in model._meta.concrete_fields
        if not getattr(field, "generated", False)
    }
    problems = [*_problems_of_own(model, concrete)]
    declared, wrong = _declared(model, concrete)
    if problems or wrong:
        raise NotMirrorable(f"{label}: {' '.join([*problems, *wrong])}")
    columns = {column: field for column, field in concrete.items() if column not in OWN}
    return Columns(model, name, columns, declared)


def _problems_of_own(model: type[models.Model], concrete: Mapping[str, Field]) -> Iterable[str]:
    missing = [f"{name} ({kind.__name__})" for name, kind in _KINDS.items() if name not in concrete]
    if missing:
        yield f"A mirror needs the columns {', '.join(missing)}."
    for column, kind in _KINDS.items():
        if column in concrete and not isinstance(concrete[column], kind):
            yield f"The column {column} must be a {kind.__name__}."
    key = model._meta.pk
    if key is None or key.attname != "salesforce_id":
        yield "salesforce_id must be the primary key."
    elif (key.max_length or _ID_LENGTH) < _ID_LENGTH:
        yield f"salesforce_id must hold {_ID_LENGTH} characters."
    for column in ("version", "synced_at"):
        if column in concrete and not concrete[column].null:
            yield f"{column} is unknown until a record is read: add null=True to it."


def _declared(
    model: type[models.Model], concrete: Mapping[str, Field]
) -> tuple[Mapping[str, str], list[str]]:
    declared = getattr(model, "salesforce_fields", {})
    if not isinstance(declared, Mapping) or not all(
        isinstance(text, str) for pair in declared.items() for text in pair
    ):
        return {}, ['salesforce_fields must be a dict such as {"column": "ApiName"}.']
    wrong = [
        f"salesforce_fields names the column {column!r}, which the model does not have."
        for column in declared
        if column not in concrete or column in OWN
    ]
    names = list(declared.values())
    wrong += [
        f"salesforce_fields gives {name} to more than one column."
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    wrong += [
        f"{field} changes without an event, so the column {column} would keep an old value: remove "
        "it."
        for column in concrete
        if (field := declared.get(column, _NOT_KEPT.get(column))) in NOT_KEPT
    ]
    return dict(declared), wrong


@lru_cache(maxsize=256)
def _against(
    model: type[models.Model], described: frozenset[tuple[str, str]], without: frozenset[str]
) -> Columns:
    columns = columns_of(model)
    names = frozenset(name for name, _ in described)
    types_by_name = {name: kind for name, kind in described if kind}
    by_rule = names_by_column(names - without - set(columns.declared.values()))
    fields: dict[str, Field] = {}
    for column, field in columns.columns.items():
        name = columns.declared.get(column, by_rule.get(column))
        if name in names:
            fields[name] = field
    held = {field.attname for field in fields.values()}
    types = {
        name: companion
        for name, field in fields.items()
        if _is_reference(name, field, types_by_name)
        and (companion := columns.columns.get(f"{field.attname.removesuffix('_id')}_type"))
        and companion.attname not in held
    }
    held |= {field.attname for field in types.values()}
    missing = {column: field for column, field in columns.columns.items() if column not in held}
    resolved = Resolved(names, types_by_name, fields, types, missing)
    return replace(columns, resolved=resolved)


def _is_reference(name: str, column: Field, types: Mapping[str, str]) -> bool:
    """Return whether the field may be a reference, by its type if that is known."""
    return types[name] == "reference" if name in types else column.attname.endswith("_id")


def names_by_column(names: Iterable[str]) -> dict[str, str]:
    """Return API names by column, by the rule.

    Where a standard and a custom field have one column's name, the custom one gets the suffix
    `_c`; so does a custom field with the name of one of the model's own columns. Names that are
    still not unique are left out: they must be declared.
    """
    by_column: dict[str, list[str]] = {}
    for name in names:
        by_column.setdefault(column_name(name), []).append(name)
    found: dict[str, str] = {}
    suffixed: dict[str, str] = {}
    for column, same in by_column.items():
        custom = [name for name in same if is_custom(name)]
        standard = [name for name in same if not is_custom(name)]
        is_taken = bool(standard) or column in OWN
        if len(standard) == 1 and column not in OWN:
            found[column] = standard[0]
        if len(custom) == 1:
            (suffixed if is_taken else found)[f"{column}_c" if is_taken else column] = custom[0]
    return suffixed | found


def is_custom(name: str) -> bool:
    return "__" in name
