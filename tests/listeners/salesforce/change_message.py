"""A change event message, for tests that alter one part of it."""

from __future__ import annotations

from typing import Any

HEADER = "data.payload.ChangeEventHeader"


def message(**header: Any) -> dict[str, Any]:
    return {
        "channel": "/data/ChangeEvents",
        "data": {
            "schema": "x",
            "payload": {
                "ChangeEventHeader": {
                    "entityName": "Account",
                    "recordIds": ["0015f00002J9YaUAAV"],
                    "changeType": "UPDATE",
                    "changeOrigin": "com/salesforce/api/rest/67.0;client=me",
                    "transactionKey": "0001ae4b-7024-a64a-87f0-f2c8cebdca76",
                    "sequenceNumber": 1,
                    "commitTimestamp": 1712694387000,
                    "commitNumber": 1082990428293,
                    "commitUser": "0055f000005mc66AAA",
                    **header,
                },
                "Name": "Acme",
            },
            "event": {"replayId": 37904280, "EventUuid": "e-1"},
        },
    }


def without(path: str) -> dict[str, Any]:
    changed = message()
    *way, last = path.split(".")
    place = changed
    for name in way:
        place = place[name]
    del place[last]
    return changed


def with_value(path: str, value: Any) -> dict[str, Any]:
    changed = message()
    *way, last = path.split(".")
    place = changed
    for name in way:
        place = place[name]
    place[last] = value
    return changed
