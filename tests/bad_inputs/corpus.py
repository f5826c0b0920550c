"""Messages that no org should send, as JSON text, each with its expected outcome at the listener.

Each message carries its own name: in its transaction key, or else elsewhere in its raw text.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

HEADER = "data.payload.ChangeEventHeader"
_NOTHING = object()


class Becomes(Enum):
    """The place where a message ends up."""

    ENTRY = "recorded"
    QUARANTINED = "quarantined"
    #: One database stores it, the other refuses it.
    EITHER = "recorded or quarantined"
    #: Part of the protocol: it says nothing of a change.
    NOTHING = "used_fields"


@dataclass(frozen=True)
class Bad:
    name: str
    text: str
    becomes: Becomes
    records: int = 1


def change(name: str) -> dict[str, Any]:
    """Return a valid message, to be altered."""
    return {
        "channel": "/data/ChangeEvents",
        "name": name,
        "data": {
            "schema": "x",
            "payload": {
                "ChangeEventHeader": {
                    "entityName": "Account",
                    "recordIds": ["0015f00002J9YaUAAV"],
                    "changeType": "UPDATE",
                    "changeOrigin": "com/salesforce/api/rest/67.0",
                    "transactionKey": name,
                    "sequenceNumber": 1,
                    "commitTimestamp": 1712694387000,
                    "commitNumber": 1082990428293,
                    "commitUser": "0055f000005mc66AAA",
                    "changedFields": ["Name"],
                },
                "Name": "Acme",
            },
            "event": {"replayId": 37904280, "EventUuid": "e-1"},
        },
    }


def changed(name: str, path: str, value: Any) -> str:
    """Return the message with another value at one path, or without that key."""
    message = copy.deepcopy(change(name))
    *way, last = path.split(".")
    place = message
    for step in way:
        place = place[step]
    if value is _NOTHING:
        del place[last]
    else:
        place[last] = value
    return json.dumps(message)


REQUIRED = (
    "channel",
    "data",
    "data.payload",
    HEADER,
    "data.event",
    "data.event.replayId",
    f"{HEADER}.entityName",
    f"{HEADER}.recordIds",
    f"{HEADER}.changeType",
    f"{HEADER}.transactionKey",
    f"{HEADER}.sequenceNumber",
    f"{HEADER}.commitTimestamp",
)
OPTIONAL = (
    "data.event.EventUuid",
    f"{HEADER}.changeOrigin",
    f"{HEADER}.commitNumber",
    f"{HEADER}.commitUser",
    f"{HEADER}.changedFields",
)
WRONG: dict[str, Any] = {
    "missing": _NOTHING,
    "null": None,
    "true": True,
    "a fraction": 1.5,
    "a list of lists": [[]],
    "an empty object": {},
    "an empty text": "",
}
_WHOLE = 2**63
#: Name, place and value; each a change that the decoder takes.
RECORDED: tuple[tuple[str, str, Any], ...] = (
    ("a type of tomorrow", f"{HEADER}.changeType", "TRANSMOGRIFY"),
    ("a type in small letters", f"{HEADER}.changeType", "create"),
    ("a gap of nothing", f"{HEADER}.changeType", "GAP_"),
    ("a gap of something new", f"{HEADER}.changeType", "GAP_MERGE"),
    ("a snapshot", f"{HEADER}.changeType", "SNAPSHOT"),
    ("a type in another script", f"{HEADER}.changeType", "変更 🎉"),
    ("a wildcard", f"{HEADER}.recordIds", ["001*"]),
    ("a wildcard alone", f"{HEADER}.recordIds", ["*"]),
    ("a wildcard in the middle", f"{HEADER}.recordIds", ["00*1"]),
    ("an id that is none", f"{HEADER}.recordIds", ["'; DROP TABLE audit_auditlogentry; --"]),
    ("the id of an overflow", f"{HEADER}.recordIds", ["000000000000000AAA"]),
    ("the same id many times", f"{HEADER}.recordIds", ["0015f00002J9YaUAAV"] * 5000),
    ("an entity that is a path", f"{HEADER}.entityName", "../../etc/passwd"),
    ("an entity with markup", f"{HEADER}.entityName", "<script>alert(1)</script>"),
    ("the first sequence number", f"{HEADER}.sequenceNumber", 0),
    ("the greatest sequence number", f"{HEADER}.sequenceNumber", _WHOLE - 1),
    ("the first moment", f"{HEADER}.commitTimestamp", 0),
    ("the last moment", f"{HEADER}.commitTimestamp", 253_402_300_799_999),
    ("a negative commit number", f"{HEADER}.commitNumber", -_WHOLE),
    ("no changed fields", f"{HEADER}.changedFields", []),
    ("5,000 changed fields", f"{HEADER}.changedFields", [f"F{n}__c" for n in range(5000)]),
    ("an unknown header field", f"{HEADER}.isTest", {"deep": [1]}),
    ("a replay id of zero", "data.event.replayId", 0),
    ("a negative replay id", "data.event.replayId", -37904280),
    ("a replay id past 64 bits", "data.event.replayId", 2**70),
    ("a replay id of 200 digits", "data.event.replayId", 10**199),
    ("a replay id that is a text", "data.event.replayId", "AAAAAAGk0wYAAA=="),
    ("another channel", "channel", "/data/SomebodyElsesChangeEvent"),
    ("a channel without a slash", "channel", "data"),
    ("a service channel", "channel", "/service/chat"),
    ("a channel that is almost meta", "channel", "/metal/connect"),
    ("an odd schema", "data.schema", {"fields": []}),
    ("2 MB of text", "data.payload.Description", "x" * 2_000_000),
    ("2,000 fields", "data.payload.Address", {f"F{n}": n for n in range(2000)}),
    ("a field without a name", "data.payload.Address", {"": 1}),
    ("a field named like a method", "data.payload.__proto__", {"constructor": 1}),
    ("a header within", "data.payload.Address", {"ChangeEventHeader": {}}),
    ("a huge whole number", "data.payload.Amount", 10**400),
    ("a great fraction", "data.payload.Amount", 1e308),
    ("a small fraction", "data.payload.Amount", 5e-324),
    ("minus nothing", "data.payload.Amount", -0.0),
    ("text from right to left", "data.payload.Name", "\u202egnp.exe"),
    ("a byte order mark", "data.payload.Name", "\ufeffAcme"),
    ("combining marks", "data.payload.Name", "a" + "\u0301" * 1000),
    ("control characters", "data.payload.Name", "\x01\x02\x1b[31m\x7f"),
)
QUARANTINED: tuple[tuple[str, str, Any], ...] = (
    ("a sequence number below zero", f"{HEADER}.sequenceNumber", -1),
    ("a sequence number past 64 bits", f"{HEADER}.sequenceNumber", _WHOLE),
    ("a sequence number as text", f"{HEADER}.sequenceNumber", "1"),
    ("a moment before 1970", f"{HEADER}.commitTimestamp", -1),
    ("a moment after 9999", f"{HEADER}.commitTimestamp", 10**15),
    ("a moment as a date", f"{HEADER}.commitTimestamp", "2026-11-25T12:00:00.000Z"),
    ("a commit number past 64 bits", f"{HEADER}.commitNumber", _WHOLE),
    ("ids that are one text", f"{HEADER}.recordIds", "0015f00002J9YaUAAV"),
    ("no ids", f"{HEADER}.recordIds", []),
    ("an empty id", f"{HEADER}.recordIds", ["0015f00002J9YaUAAV", ""]),
    ("a null among the ids", f"{HEADER}.recordIds", ["0015f00002J9YaUAAV", None]),
    ("a number among the ids", f"{HEADER}.recordIds", [1]),
    ("a list among the names", f"{HEADER}.changedFields", ["Name", []]),
    ("nulled fields as text", f"{HEADER}.nulledFields", "Name"),
    ("diff fields as an object", f"{HEADER}.diffFields", {"Name": "x"}),
    ("the replay id that means the tip", "data.event.replayId", -1),
    ("the replay id that means everything", "data.event.replayId", -2),
    ("the tip as text", "data.event.replayId", "-1"),
    ("an id of 2 MB", f"{HEADER}.recordIds", ["0" * 2_000_000]),
    ("an entity past every index", f"{HEADER}.entityName", "".join(map(chr, range(9000, 9600)))),
    ("a replay id of 300 digits", "data.event.replayId", 10**299),
    ("a replay id with a line break", "data.event.replayId", "1\n2"),
    ("a replay id in another script", "data.event.replayId", "١٢٣"),
    ("an endless replay id", "data.event.replayId", "7" * 300),
    ("not a number", "data.payload.Amount", float("nan")),
    ("infinity", "data.payload.Amount", float("inf")),
    ("minus infinity, deep inside", "data.payload.Address", {"A": [[{"B": float("-inf")}]]}),
    ("a payload that is a list", "data.payload", [{"ChangeEventHeader": {}}]),
    ("a header that is a text", HEADER, '{"entityName": "Account"}'),
    ("a platform event", "data.payload", {"CreatedDate": "2026-11-25", "Text__c": "x"}),
    ("data that is a text", "data", "hello"),
)
EITHER: tuple[tuple[str, str, Any], ...] = (
    ("a long entity", f"{HEADER}.entityName", "E" * 300),
    ("a long type", f"{HEADER}.changeType", "T" * 300),
    ("a long id", f"{HEADER}.recordIds", ["0" * 300]),
    ("a long origin", f"{HEADER}.changeOrigin", "o" * 1100),
    ("a long user", f"{HEADER}.commitUser", "u" * 300),
    ("a long uuid", "data.event.EventUuid", "u" * 300),
    ("a long channel", "channel", "/data/" + "c" * 300),
    ("a NUL in an entity", f"{HEADER}.entityName", "Acc\0unt"),
    ("a NUL in an id", f"{HEADER}.recordIds", ["001\0"]),
    ("a NUL in a value", "data.payload.Name", "Ac\0me"),
    ("a NUL in a field's name", "data.payload.Address", {"Na\0me": 1}),
    ("a NUL among the names", f"{HEADER}.changedFields", ["Na\0me"]),
    ("half a pair in an entity", f"{HEADER}.entityName", "Acc\ud800unt"),
    ("half a pair in an id", f"{HEADER}.recordIds", ["001\udfff"]),
    ("half a pair in a value", "data.payload.Name", "Ac\ud800me"),
    ("half a pair in a field's name", "data.payload.Address", {"Na\udc00me": 1}),
)
ADVICE: dict[str, Any] = {
    "a text": "retry",
    "a list": [{"reconnect": "none"}],
    "an interval as text": {"interval": "soon"},
    "a negative interval": {"interval": -5},
    "an interval of true": {"interval": True},
    "a hold of nothing": {"timeout": 0},
    "an endless hold": {"timeout": 1e300},
    "a hold of null": {"timeout": None},
    "an unknown way": {"reconnect": "dance"},
    "a way that is a number": {"reconnect": 7},
    "a way that is a list": {"reconnect": ["none"]},
    "a way that is an object": {"reconnect": {"none": 1}},
}


def corpus() -> list[Bad]:
    """Return all messages, each with a name of its own."""
    return [*_spoilt(), *_special(), *_written_oddly(), *_nested(), *_meta()]


def _spoilt() -> Iterator[Bad]:
    for path in REQUIRED:
        for what, value in WRONG.items():
            name = f"{path} is {what}"
            yield Bad(name, changed(name, path, value), Becomes.QUARANTINED)
    for path in OPTIONAL:
        for what, value in WRONG.items():
            name = f"{path} is {what}"
            fits = what in ("missing", "null") or (what == "an empty text" and _is_text(path))
            becomes = Becomes.ENTRY if fits else Becomes.QUARANTINED
            yield Bad(name, changed(name, path, value), becomes)


def _is_text(path: str) -> bool:
    return path.endswith(("EventUuid", "changeOrigin", "commitUser"))


def _special() -> Iterator[Bad]:
    for becomes, cases in (
        (Becomes.ENTRY, RECORDED),
        (Becomes.QUARANTINED, QUARANTINED),
        (Becomes.EITHER, EITHER),
    ):
        for name, path, value in cases:
            yield Bad(name, changed(name, path, value), becomes)
    ids = [f"0015f{number:010d}AAA" for number in range(5000)]
    name = "5,000 ids"
    yield Bad(name, changed(name, f"{HEADER}.recordIds", ids), Becomes.ENTRY, records=5000)
    yield Bad("nothing at all", '{"name": "nothing at all"}', Becomes.QUARANTINED)


def _written_oddly() -> Iterator[Bad]:
    """Yield messages with ordinary values whose JSON is written oddly."""
    name = "every key twice"
    once = json.dumps(change(name))[1:-1]
    yield Bad(name, f"{{{once}, {once}}}", Becomes.ENTRY)
    name = "a second key that is worse"
    yield Bad(name, f'{{{json.dumps(change(name))[1:-1]}, "data": 7}}', Becomes.QUARANTINED)
    for name, written in (
        ("1e999", "1e999"),
        ("minus 1e999", "-1e999"),
        ("a whole number of 5,000 digits", "9" * 5000),
    ):
        text = changed(name, "data.payload.Amount", "HERE").replace('"HERE"', written)
        yield Bad(name, text, Becomes.QUARANTINED)
    name = "everything escaped"
    escaped = "".join(f"\\u{ord(character):04x}" for character in name)
    yield Bad(name, json.dumps(change(name)).replace(name, escaped), Becomes.ENTRY)
    name = "much white space"
    yield Bad(name, json.dumps(change(name), indent=400), Becomes.ENTRY)


def _nested() -> Iterator[Bad]:
    for depth in (100, 400):
        name = f"{depth} lists in one another"
        text = changed(name, "data.payload.Address", "HERE")
        yield Bad(name, text.replace('"HERE"', "[" * depth + "]" * depth), Becomes.ENTRY)
    for what, opening, closing in (("lists", "[", "]"), ("objects", '{"a":', "}")):
        for depth in (900, 1_200, 3_000, 9_000, 100_000):
            name = f"{depth} {what} in one another, too many"
            text = changed(name, "data.payload.Address", "HERE")
            inside = f"{opening * depth}1{closing * depth}"
            yield Bad(name, text.replace('"HERE"', inside), Becomes.QUARANTINED)


def _meta() -> Iterator[Bad]:
    """Yield successful acknowledgements of a poll with odd advice."""
    for what, advice in ADVICE.items():
        message = {"channel": "/meta/connect", "successful": True, "advice": advice}
        yield Bad(f"advice: {what}", json.dumps(message), Becomes.NOTHING)
