"""The fields of objects: their types, and how a description shows them."""

from collections.abc import Mapping
from dataclasses import dataclass

from simulator.org.records import JsonObject

SOAP_TYPES: Mapping[str, str] = {
    **dict.fromkeys(("id", "reference"), "tns:ID"),
    "boolean": "xsd:boolean",
    "int": "xsd:int",
    "long": "xsd:long",
    **dict.fromkeys(("double", "currency", "percent"), "xsd:double"),
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
    "time": "xsd:time",
    "base64": "xsd:base64Binary",
    "address": "urn:address",
    "location": "urn:location",
    "anyType": "xsd:anyType",
    "complexvalue": "urn:complexvalue",
    "JunctionIdList": "urn:JunctionIdListNames",
}
#: The default length of the types that are text; ids have 18 bytes, other characters up to three.
LENGTHS: Mapping[str, int] = {
    **dict.fromkeys(("id", "reference"), 18),
    **dict.fromkeys(("string", "picklist", "combobox", "url", "anyType"), 255),
    "multipicklist": 4_099,
    "textarea": 32_000,
    "encryptedstring": 175,
    "email": 80,
    "phone": 40,
}
DECIMALS = ("double", "currency", "percent")
COMPOUND = ("address", "location")
NOT_FILTERABLE = (*COMPOUND, "textarea", "encryptedstring", "base64", "complexvalue")
LARGEST_FILTERABLE_TEXT = 255


@dataclass(frozen=True, slots=True)
class Field:
    """The definition of a field.

    length, precision, scale, digits   None: those of the type
    refers_to      the objects that a reference can point to
    cascades       whether its record is deleted with the one that it points to
    values         the active values of a picklist; `inactive` are those that remain in rows
    compound       the compound field that it is a part of, as `key` in records
    """

    name: str
    type: str = "string"
    label: str = ""
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    digits: int | None = None
    is_required: bool = False
    is_writable: bool = True
    is_updateable: bool = True
    is_calculated: bool = False
    is_auto_number: bool = False
    is_name: bool = False
    is_external_id: bool = False
    is_unique: bool = False
    is_case_sensitive: bool = False
    is_restricted: bool = False
    is_html: bool = False
    is_high_scale: bool = False
    refers_to: tuple[str, ...] = ()
    relationship: str = ""
    cascades: bool = False
    values: tuple[str, ...] = ()
    inactive: tuple[str, ...] = ()
    formula: str = ""
    extra_type: str = ""
    help_text: str = ""
    compound: str = ""
    key: str = ""

    @property
    def is_custom(self) -> bool:
        return self.name.endswith(("__c", "__s"))


def described(field: Field) -> JsonObject:
    """Return the field as in the response to `…/describe`."""
    kind, length = field.type, _length(field)
    writable = field.is_writable and kind not in COMPOUND
    is_text_key = field.is_external_id or field.type == "id"
    filterable = kind not in NOT_FILTERABLE or length in range(1, LARGEST_FILTERABLE_TEXT + 1)
    shown: JsonObject = {
        "aggregatable": filterable and kind != "boolean",
        "autoNumber": field.is_auto_number,
        "byteLength": length if kind in ("id", "reference") else length * 3,
        "calculated": field.is_calculated,
        "calculatedFormula": field.formula or None,
        "cascadeDelete": field.cascades,
        "caseSensitive": field.is_case_sensitive,
        "compoundFieldName": field.compound or None,
        "createable": writable,
        "custom": field.is_custom,
        "defaultedOnCreate": kind == "boolean" or field.name in ("Id", "OwnerId"),
        "deprecatedAndHidden": False,
        "externalId": field.is_external_id,
        "extraTypeInfo": field.extra_type or _extra_type(field),
        "filterable": filterable,
        "groupable": filterable and kind not in DECIMALS and kind != "datetime",
        "highScaleNumber": field.is_high_scale,
        "htmlFormatted": field.is_html,
        "idLookup": is_text_key,
        "inlineHelpText": field.help_text or None,
        "label": field.label or _label(field.name),
        "length": length,
        "name": field.name,
        "nameField": field.is_name,
        "namePointing": len(field.refers_to) > 1,
        "nillable": not (field.is_required or kind in ("boolean", "id")),
        "permissionable": field.is_custom and not field.is_required,
        "picklistValues": _picklist(field),
        "polymorphicForeignKey": len(field.refers_to) > 1,
        "referenceTo": list(field.refers_to),
        "relationshipName": field.relationship or None,
        "restrictedDelete": False,
        "restrictedPicklist": field.is_restricted,
        "soapType": SOAP_TYPES.get(kind, "xsd:string"),
        "sortable": filterable,
        "type": kind,
        "unique": field.is_unique,
        "updateable": writable and field.is_updateable,
        **_numbers(field),
    }
    return {**shown, "encrypted": True} if kind == "encryptedstring" else shown


def _length(field: Field) -> int:
    return LENGTHS.get(field.type, 0) if field.length is None else field.length


def _numbers(field: Field) -> JsonObject:
    """Return precision, scale and digits; each counts for its own types only."""
    precision, scale, digits = 0, 0, 0
    if field.type in DECIMALS:
        precision, scale = 18, 0
    if field.type == "int":
        digits = 9
    if field.type == "long":
        digits = 18
    return {
        "precision": precision if field.precision is None else field.precision,
        "scale": scale if field.scale is None else field.scale,
        "digits": digits if field.digits is None else field.digits,
    }


def _extra_type(field: Field) -> str | None:
    if field.type != "textarea":
        return None
    return "richtextarea" if field.is_html else "plaintextarea"


def _picklist(field: Field) -> list[JsonObject]:
    return [
        {
            "active": value not in field.inactive,
            "defaultValue": False,
            "label": value,
            "validFor": None,
            "value": value,
        }
        for value in (*field.values, *field.inactive)
    ]


def _label(name: str) -> str:
    """Return a label made from the name: `BillingCity` is `BillingCity`, `Last_Name__c` is
    `Last Name`."""
    bare = name.removesuffix("__c").removesuffix("__s")
    return bare.replace("__", " ").replace("_", " ")
