"""The field types of a change event's Avro schema, and the values they accept.

Values are those of the org's JSON; dates are in CometD's form and are sent as numbers.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

Children = Mapping[str, tuple[str, ...]]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INT_LIMIT = 2**31
LONG_LIMIT = 2**63
AVRO_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)

COMPOUNDS: Mapping[str, Children] = {
    "Address": {
        **dict.fromkeys(("Street", "City", "State", "PostalCode", "Country"), ("string",)),
        **dict.fromkeys(("StateCode", "CountryCode"), ("string",)),
        **dict.fromkeys(("Latitude", "Longitude"), ("double",)),
        "GeocodeAccuracy": ("string",),
    },
    "PersonName": dict.fromkeys(
        ("Salutation", "FirstName", "LastName", "MiddleName", "Suffix"), ("string",)
    ),
    "Switchable_PersonName": dict.fromkeys(
        ("Salutation", "FirstName", "LastName", "MiddleName", "InformalName", "Suffix"),
        ("string",),
    ),
    "Location": {"Latitude": ("double",), "Longitude": ("double",), "XyzEncoded": ("string",)},
}
KINDS: Mapping[str, tuple[str, str]] = {
    "anyType": ("string", "Data:Text"),
    "boolean": ("boolean", "Data:Boolean"),
    "combobox": ("string", "Data:ComboBox"),
    "currency": ("double", "Data:Currency"),
    "date": ("long", "Data:DateOnly"),
    "datetime": ("long", "Data:DateTime"),
    "double": ("double", "Data:Double"),
    "email": ("string", "Data:Email"),
    "encryptedstring": ("string", "Data:EncryptedText"),
    "int": ("int", "Data:Integer"),
    "long": ("double", "Data:Long"),
    "multipicklist": ("string", "Data:MultiEnum"),
    "percent": ("double", "Data:Percent"),
    "phone": ("string", "Data:Phone"),
    "picklist": ("string", "Data:DynamicEnum"),
    "reference": ("string", "ForeignKey:EntityId"),
    "string": ("string", "Data:Text"),
    "textarea": ("string", "Data:StringPlusClob"),
    "time": ("long", "Data:TimeOnly"),
    "url": ("string", "Data:Url"),
}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a schema: its plain types, and the name of its record type, if any."""

    name: str
    doc: str
    plain: tuple[str, ...]
    compound: str = ""

    @property
    def temporal(self) -> str:
        """The temporal type of the field: `DateOnly`, `DateTime` or `TimeOnly`."""
        words = self.doc.split(":")
        return words[1] if words[1] in TEMPORAL else ""

    def takes(self, value: object) -> bool:
        """Return whether the field accepts a plain value."""
        return takes(self.plain, value) or (
            "long" in self.plain and milliseconds(self.temporal, value) is not None
        )


def field_of_kind(name: str, kind: str) -> Field:
    """Return a field of one of KINDS."""
    plain, doc = KINDS[kind]
    doc = "CreatedDate:DateTime" if name == "CreatedDate" else doc
    return Field(name, doc + _field_id(name), (plain,))


def field_for(name: str, value: object) -> Field:
    """Return a field that accepts this value, for a field without a description."""
    if isinstance(value, dict):
        compound, doc = _compound_for(name, set(value))
        return Field(name, doc + _field_id(name), (), compound)
    return field_of_kind(name, _kind_for(value))


def _kind_for(value: object) -> str:
    for kind, temporal in (("datetime", "DateTime"), ("date", "DateOnly"), ("time", "TimeOnly")):
        if milliseconds(temporal, value) is not None:
            return kind
    return plain_type(value)


def _compound_for(name: str, children: set[str]) -> tuple[str, str]:
    if name.endswith("Address"):
        return "Address", "Data:Address"
    if name == "Name":
        return "PersonName", "Data:PersonName"
    if children and children <= set(COMPOUNDS["Location"]):
        return "Location", "Data:Location"
    return f"{name}_Type", "Data:ComplexValueType"


def _field_id(name: str) -> str:
    """Return an id `:00N…`, with which the docs of custom fields end."""
    if not name.endswith("__c"):
        return ""
    return f":00N{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def plain_type(value: object) -> str:
    """Return the Avro type for a plain value; deeper nested JSON is sent as text."""
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "double"
        case _:
            return "string"


def takes(plain: tuple[str, ...], value: object) -> bool:
    """Return whether one of the types accepts the value unchanged."""
    if isinstance(value, int) and not isinstance(value, bool) and "int" in plain:
        return -INT_LIMIT <= value < INT_LIMIT or "double" in plain
    return value is None or plain_type(value) in plain


#: For each temporal type: the form of its text in CometD, and the whole time that it stands for.
TEMPORAL: Mapping[str, tuple["re.Pattern[str]", str]] = {
    "DateTime": (re.compile(r".{10}T.{8}\..{3}Z"), "{}"),
    "DateOnly": (re.compile(r".{4}-.{2}-.{2}"), "{}T00:00:00.000Z"),
    "TimeOnly": (re.compile(r".{8}\..{3}Z"), "1970-01-01T{}"),
}


def milliseconds(temporal: str, value: object) -> int | None:
    """Return the encoded number of a date or time, or None for another value."""
    if not temporal or not isinstance(value, str):
        return None
    form, whole = TEMPORAL[temporal]
    if not form.fullmatch(value):
        return None
    try:
        return (datetime.fromisoformat(whole.format(value)) - EPOCH) // timedelta(milliseconds=1)
    except ValueError:
        return None
