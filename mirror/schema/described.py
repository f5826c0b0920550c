"""An object of the org and its fields, as the describe call of the REST API lists them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: The types of fields by what their values are; any other type is a text.
REFERENCES = frozenset({"id", "reference"})
NUMBERS = frozenset({"double", "currency", "percent"})
INTEGERS = frozenset({"int", "long"})
STRUCTURES = frozenset({"anyType", "complexvalue", "JunctionIdList", "junctionidlist", "json"})
#: Compound fields, whose components are fields of their own.
COMPOUNDS = frozenset({"address", "location"})
#: Fields that no query of the Bulk API returns.
NOT_IN_BULK = COMPOUNDS | {"base64", "complexvalue", "JunctionIdList", "junctionidlist", "json"}


@dataclass(frozen=True, slots=True)
class DescribedField:
    """One field of an object."""

    name: str
    type: str = "string"
    label: str = ""
    help: str = ""
    length: int = 0
    precision: int = 0
    scale: int = 0
    is_calculated: bool = False
    is_rollup: bool = False
    is_external_id: bool = False
    is_name: bool = False
    targets: tuple[str, ...] = ()
    is_polymorphic: bool = False

    @classmethod
    def read(cls, field: Mapping[str, Any]) -> DescribedField:
        """Return a field of an answer, whose values have the types that Salesforce documents."""
        is_calculated = field.get("calculated") is True
        targets = field.get("referenceTo") or []
        return cls(
            name=str(field["name"]),
            type=str(field.get("type") or "string"),
            label=" ".join(str(field.get("label") or "").split()),
            help=" ".join(str(field.get("inlineHelpText") or "").split()),
            length=_whole(field.get("length")),
            precision=_whole(field.get("precision")),
            scale=_whole(field.get("scale")),
            is_calculated=is_calculated,
            is_rollup=is_calculated and field.get("calculatedFormula", "") is None,
            is_external_id=field.get("externalId") is True,
            is_name=field.get("nameField") is True,
            targets=tuple(str(target) for target in targets if isinstance(targets, list)),
            is_polymorphic=field.get("polymorphicForeignKey") is True or len(targets) > 1,
        )


@dataclass(frozen=True, slots=True)
class DescribedObject:
    """An object and its fields by API name, in the order of the answer."""

    name: str
    label: str
    is_queryable: bool
    fields: Mapping[str, DescribedField]

    @classmethod
    def read(cls, description: Mapping[str, Any]) -> DescribedObject:
        """Return the object of an answer to a describe call."""
        fields = (DescribedField.read(field) for field in _fields(description))
        return cls(
            name=str(description.get("name") or ""),
            label=" ".join(str(description.get("label") or "").split()),
            is_queryable=description.get("queryable") is not False,
            fields={field.name: field for field in fields},
        )

    @property
    def types(self) -> dict[str, str]:
        """The fields' types by API name, as `Mirror.described` keeps them."""
        return {name: field.type for name, field in self.fields.items()}


def _fields(description: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for field in description.get("fields") or []:
        if isinstance(field, Mapping) and field.get("name"):
            yield field


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
