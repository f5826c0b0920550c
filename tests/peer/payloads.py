"""Payloads as in the documentation and the samples, with their expected outcomes."""

import itertools
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

Payload = dict[str, Any]

HANDLED = ("CREATE", "UPDATE", "DELETE", "UNDELETE")
GAPS = ("GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE")
PREFIXES = {"Account": "001", "Contact": "003", "Employee__c": "a00"}
SYSTEM = {"LastModifiedDate": "2026-01-05T09:30:00.000Z", "LastModifiedById": "0055f000005mc66AAA"}

_numbers = itertools.count(1)


def record_id(entity: str, number: int) -> str:
    return f"{PREFIXES[entity]}5f{number:010d}AAA"


def change(
    entity: str, change_type: str, records: list[str], fields: Payload | None = None, **header: Any
) -> Payload:
    number = next(_numbers)
    return {
        **(fields or {}),
        "ChangeEventHeader": {
            "commitNumber": 9_007_199_254_740_993 + number,  # past what a double holds
            "commitUser": "0055f000005mc66AAA",
            "sequenceNumber": 1,
            "entityName": entity,
            "changeType": change_type,
            "changeOrigin": "com/salesforce/api/rest/67.0;client=SfdcInternalAPI/",
            "transactionKey": f"0001ae4b-7024-a64a-87f0-{number:012d}",
            "commitTimestamp": int(time.time() * 1000),
            "recordIds": records,
            **header,
        },
    }


def creations(count: int, entity: str = "Account", **header: Any) -> list[Payload]:
    """Return creations of `count` records, each in its own transaction."""
    return [
        change(
            entity,
            "CREATE",
            [record_id(entity, 500_000 + next(_numbers))],
            {**SYSTEM, "Name": f"Name {number}", "NumberOfEmployees": number},
            **header,
        )
        for number in range(count)
    ]


def mixed_burst(samples: Path) -> list[Payload]:
    """Return each kind of change at least once, several changes of one record, in three
    entities."""
    burst = [*_lives(), *_odd_ones(), *_samples(samples)]
    for number in range(8):
        burst.append(
            change("Account", "UPDATE", [record_id("Account", 1)], {**SYSTEM, "Phone": str(number)})
        )
    return burst


def _lives() -> list[Payload]:
    """Return the changes of three records of each entity: created, updated, cleared, deleted,
    undeleted."""
    burst = []
    for step, (entity, number) in itertools.product(range(5), _records()):
        records = [record_id(entity, number)]
        everything = {**SYSTEM, **_fields(entity, number)}
        match step:
            case 0:
                burst.append(change(entity, "CREATE", records, everything))
            case 1:
                fields: Payload = {
                    **SYSTEM,
                    "Phone": None,
                    "AnnualRevenue": 2.5,
                    "IsActive__c": False,
                }
                burst.append(change(entity, "UPDATE", records, fields, changedFields=["Phone"]))
            case 2:
                address = {"City": "Zürich", "Latitude": None}
                fields = {**SYSTEM, "MailingAddress": address}
                burst.append(change(entity, "UPDATE", records, fields, nulledFields=[]))
            case 3:
                burst.append(change(entity, "DELETE", records))
            case _:
                burst.append(change(entity, "UNDELETE", records, everything))
    return burst


def _records() -> list[tuple[str, int]]:
    return list(itertools.product(PREFIXES, range(1, 4)))


def _fields(entity: str, number: int) -> Payload:
    return {
        "Name": f"{entity} № {number}"
        if entity != "Contact"
        else {"Salutation": "Ms.", "FirstName": "Ada", "LastName": f"Lovelace {number}"},
        "NumberOfEmployees": 1200 + number,
        "AnnualRevenue": 1_250_000.0,
        "Probability": 0.1 + number,
        "IsActive__c": True,
        "BillingAddress": {
            "Street": "1 Market St\nSuite 300",
            "City": "San Francisco",
            "Latitude": 37.79,
            "Longitude": -122.4,
            "GeocodeAccuracy": None,
        },
        "Description": 'quotes " and \\ and 漢字 and 🎉',
    }


def _odd_ones() -> list[Payload]:
    """Return a change of twenty records, each kind of gap, and an unknown change type."""
    twenty = [record_id("Contact", 100 + number) for number in range(20)]
    burst = [change("Contact", "UPDATE", twenty, {**SYSTEM, "Title": "Chair"}, sequenceNumber=7)]
    for entity, gap in itertools.product(PREFIXES, GAPS):
        records = [record_id(entity, 200), record_id(entity, 201)]
        burst.append(change(entity, gap, records, changedFields=[], changeOrigin=""))
    burst.append(change("Account", "GAP_OVERFLOW", ["000000000000000AAA"]))
    burst.append(change("Employee__c", "RECLASSIFY", [record_id("Employee__c", 1)], {"Level": 3}))
    return burst


def _samples(folder: Path) -> list[Payload]:
    """Return real payloads. The undeletion repeats its creation's identity and gets its own."""
    account = json.loads((folder / "cometd/account_create_2024.json").read_text())
    gap = json.loads((folder / "cometd/gap_update_v224.json").read_text())
    employee = json.loads(
        (folder / "cometd/employee_create_update_delete_undelete.json").read_text()
    )
    payloads: list[Payload] = [one["data"]["payload"] for one in (account, gap, *employee)]
    payloads[-1]["ChangeEventHeader"]["transactionKey"] += "-undeleted"
    return payloads


# The changes that must be recorded and handled


def changes_of(payloads: list[Payload]) -> list[tuple[str, ...]]:
    """Return each record's changes in order as comparable text, JSON types and nulls included."""
    rows = []
    for payload in payloads:
        header = payload["ChangeEventHeader"]
        data = {name: value for name, value in payload.items() if name != "ChangeEventHeader"}
        rows += [
            _row(
                header["entityName"],
                record,
                header["changeType"],
                header["transactionKey"],
                header["sequenceNumber"],
                header["commitNumber"],
                header.get("changedFields"),
                data,
            )
            for record in header["recordIds"]
        ]
    return rows


def recorded_changes() -> list[tuple[str, ...]]:
    """Return the audit log's entries in the same form."""
    from audit.models import AuditLogEntry

    return [
        _row(
            entry.entity_name,
            entry.record_id,
            entry.change_type,
            entry.transaction_key,
            entry.sequence_number,
            entry.commit_number,
            entry.changed_fields,
            entry.changed_data,
        )
        for entry in AuditLogEntry.objects.order_by("id")
    ]


def _row(*values: Any) -> tuple[str, ...]:
    return tuple(json.dumps(value, sort_keys=True) for value in values)


def runs_of(payloads: list[Payload]) -> Counter[tuple[str, str]]:
    """Return the number of handler runs by record and kind of change."""
    return Counter(
        (record, payload["ChangeEventHeader"]["changeType"])
        for payload in payloads
        for record in payload["ChangeEventHeader"]["recordIds"]
        if payload["ChangeEventHeader"]["changeType"] in HANDLED
    )
