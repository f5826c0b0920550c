"""Changes for the Pub/Sub API, in the form of the Streaming API."""

import copy
import itertools
import json
from pathlib import Path
from typing import Any

from tests.peer.payloads import GAPS, PREFIXES, SYSTEM, Payload, change, record_id

Definition = dict[str, Any]

ADDRESS = {
    "Street": "1 Market St\nSuite 300",
    "City": "San Francisco",
    "CountryCode": "US",
    "Latitude": 37.79,
    "Longitude": -122,
}
EVERYTHING: dict[str, Payload] = {
    "Account": {
        "Name": "Zürich № 1",
        "BillingAddress": ADDRESS,
        "AnnualRevenue": 1_250_000,
        "NumberOfEmployees": 1200,
        "Description": 'quotes " and \\ and 漢字 and 🎉',
        "PersonBirthdate": "1906-12-09",
        "SLAExpirationDate__c": "2028-02-29",
        "Some_Date_Time__c": "1969-12-31T23:59:59.999Z",
        "Some_Geolocation__c": {"Latitude": -0.125, "Longitude": 0},
        "Some_Percent__c": 12.5,
        "Some_Time__c": "10:00:00.000Z",
        "Some_Check_Box__c": True,
    },
    "Contact": {
        "Name": {"Salutation": "Ms.", "FirstName": "Ada", "LastName": "Lovelace"},
        "MailingAddress": {"City": "London"},
        "Birthdate": "1815-12-10",
        "HasOptedOutOfEmail": False,
    },
    "Employee__c": {"Name": "E-0001", "Rate__c": 0.1, "Hired__c": "2020-02-29"},
}
# Changed and cleared, in the order of the schema, and in compound fields child by child.
UPDATES: dict[str, Payload] = {
    "Account": {
        "BillingAddress": {"Street": None, "City": "Zürich", "Latitude": None},
        "Phone": None,
        "AnnualRevenue": 2.5,
        "SLAExpirationDate__c": None,
        "Some_Geolocation__c": {"Latitude": 1, "Longitude": None},
        "Some_Check_Box__c": False,
    },
    "Contact": {
        "Name": {"FirstName": None, "LastName": "King"},
        "Birthdate": "1815-12-11",
        "Title": None,
    },
    "Employee__c": {"Rate__c": 3, "Hired__c": None},
}


class Schemas(dict[str, Definition]):
    """Two schemas of a real org and one made here, which later gets a field in its middle."""

    def __init__(self, samples: Path) -> None:
        folder = samples / "pubsub"
        account = json.loads((folder / "AccountChangeEvent.c126ffd.avsc").read_text())
        contact = json.loads((folder / "ContactChangeEvent.avsc").read_text())
        super().__init__(Account=account, Contact=contact, Employee__c=_employee(account))

    def grow(self) -> None:
        badge = _field("Badge__c", "string", "Data:Text:00N5f00000AAAAA")
        self["Employee__c"]["fields"].insert(2, badge)

    def updated(self, entity: str, records: list[str], fields: Payload, **header: Any) -> Payload:
        """Return an update whose lists of changed and cleared fields match its fields."""
        order = [field["name"] for field in self[entity]["fields"]]
        assert set(fields) <= set(order)
        changed: dict[str, Any] = {}
        for name in sorted(fields, key=order.index):
            value = fields[name]
            if isinstance(value, dict) and "diff" not in value:
                changed |= {f"{name}.{child}": of_child for child, of_child in value.items()}
            else:
                changed[name] = value
        header["nulledFields"] = [name for name, value in changed.items() if value is None]
        return change(entity, "UPDATE", records, fields, changedFields=[*changed], **header)


def _employee(account: Definition) -> Definition:
    """Return the schema of a custom object, with an unknown change type."""
    header = copy.deepcopy(account["fields"][0])
    [kind] = [one for one in header["type"]["fields"] if one["name"] == "changeType"]
    kind["type"]["symbols"].append("RECLASSIFY")
    return {
        "type": "record",
        "name": "Employee__ChangeEvent",
        "namespace": "com.sforce.eventbus",
        "fields": [
            header,
            _field("Name", "string", "Data:EntityName"),
            _field("Rate__c", "double", "Data:Double:00N5f00000AAAAB"),
            _field("Hired__c", "long", "Data:DateOnly:00N5f00000AAAAC"),
            _field("LastModifiedDate", "long", "Data:DateTime"),
            _field("LastModifiedById", "string", "ForeignKey:EntityId"),
        ],
    }


def _field(name: str, kind: str, doc: str) -> Definition:
    return {"name": name, "type": ["null", kind], "doc": doc, "default": None}


def burst_before_growth(schemas: Schemas) -> list[Payload]:
    """Return creations and changes of nine records, several of them in forms that only bitmaps
    have."""
    burst = []
    for entity, number in _records():
        fields = {**EVERYTHING[entity], **SYSTEM}
        burst.append(_change(entity, "CREATE", [record_id(entity, number)], fields))
    for entity, number in _records():
        fields = {**UPDATES[entity], **SYSTEM}
        burst.append(schemas.updated(entity, [record_id(entity, number)], fields))
    return [*burst, *_odd_updates(schemas)]


def burst_after_growth(schemas: Schemas) -> list[Payload]:
    """Return deletions and undeletions of the same records, each kind of gap, and changes of a new
    field."""
    one = [record_id("Employee__c", 1)]
    burst = [
        schemas.updated("Employee__c", one, {"Badge__c": "B-1", "Rate__c": 4, **SYSTEM}),
        schemas.updated("Employee__c", one, {"Badge__c": None, **SYSTEM}),
    ]
    for entity, number in _records():
        burst.append(_change(entity, "DELETE", [record_id(entity, number)]))
    for entity, number in _records():
        fields = {**EVERYTHING[entity], **SYSTEM}
        burst.append(_change(entity, "UNDELETE", [record_id(entity, number)], fields))
    for entity, gap in itertools.product(PREFIXES, GAPS):
        records = [record_id(entity, 200), record_id(entity, 201)]
        burst.append(_change(entity, gap, records, changeOrigin=""))
    burst.append(_change("Account", "GAP_OVERFLOW", ["000000000000000AAA"]))
    burst.append(_change("Employee__c", "RECLASSIFY", one, {"Rate__c": 5}))
    return burst


def creations(count: int) -> list[Payload]:
    """Return creations of `count` accounts, each in its own transaction."""
    return [
        _change("Account", "CREATE", [record_id("Account", 500 + number)], {"Name": f"{number}"})
        for number in range(count)
    ]


def _odd_updates(schemas: Schemas) -> list[Payload]:
    account = [record_id("Account", 1)]
    twenty = [record_id("Contact", 100 + number) for number in range(20)]
    difference = {"Description": {"diff": "--- \n+++ \n@@ -1,1 +1,1 @@\n-old\n+new\n"}, **SYSTEM}
    person = {"Name": {"FirstName": "Grace", "LastName": "Hopper"}, **SYSTEM}
    enriched = schemas.updated("Account", account, {"Phone": "1", **SYSTEM})
    return [
        schemas.updated("Contact", twenty, {"Title": "Chair", **SYSTEM}, sequenceNumber=7),
        schemas.updated("Account", account, difference, diffFields=["Description"]),
        schemas.updated("Account", account, {"ShippingAddress": {"City": "Bern"}}),
        _change("Account", "CREATE", [record_id("Account", 300)], person),
        {**enriched, "Fax": "a value that is there though it did not change"},
    ]


def _change(
    entity: str, change_type: str, records: list[str], fields: Payload | None = None, **header: Any
) -> Payload:
    return change(entity, change_type, records, fields, changedFields=[], **header)


def _records() -> list[tuple[str, int]]:
    return list(itertools.product(PREFIXES, range(1, 4)))
