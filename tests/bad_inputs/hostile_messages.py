"""Malformed messages that an attacker with access to the broker could send to a worker."""

import json
from dataclasses import dataclass, field
from typing import Any

from handlers.redelivery import job

TASK = "tests.remember"
GOOD_BODY = [[], {"delivery_ids": [1]}, {"callbacks": None, "errbacks": None, "chain": None}]
FORGED = "\n2026-01-01T00:00:00.000000Z [info     ] forged line \x1b[31m\u2028"


@dataclass(frozen=True)
class Hostile:
    name: str
    body: bytes
    headers: dict[str, Any]
    properties: dict[str, Any] = field(default_factory=dict)


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def _hostile(name: str, body: Any = None, headers: Any = (), **properties: Any) -> Hostile:
    text = json.dumps(GOOD_BODY if body is None else body) if not isinstance(body, bytes) else ""
    known = {"content_type": "application/json", "content_encoding": "utf-8", **properties}
    return Hostile(name, text.encode() or body, {"task": TASK, "id": name, **dict(headers)}, known)


def _with_arguments(name: str, arguments: Any) -> Hostile:
    return _hostile(name, [[], arguments, {}])


def _of_ours(name: str, arguments: Any) -> Hostile:
    return _hostile(name, [[], arguments, {}], {"task": job.TASK})


def _with_headers(name: str, **headers: Any) -> Hostile:
    return _hostile(name, headers=headers)


HOSTILE = [
    _hostile("not json", b"not json"),
    _hostile("no text", b"\xff\xfe\x00"),
    _hostile("nothing", b""),
    _hostile("pickle", b"\x80\x04.", content_type="application/x-python-serialize"),
    _hostile("yaml", b"- 1", content_type="application/x-yaml"),
    _hostile("plain text", b"text", content_type="text/plain"),
    _hostile("no such type", b"[]", content_type=f"application/{FORGED}"),
    _hostile("no such encoding", "[]".encode("utf-16"), content_encoding="no-such-encoding"),
    _hostile("nested deeply", nested(100_000).encode()),
    _hostile("nested", f'[[], {{"delivery_ids": {nested(900)}}}, {{}}]'.encode()),
    _hostile("number", 5),
    _hostile("text", "text"),
    _hostile("object", {"delivery_ids": [1]}),
    _hostile("too short", [[], {}]),
    _hostile("too long", [[], {}, {}, {}]),
    _hostile("arguments are an object", [{}, {}, {}]),
    _hostile("keyword arguments are a list", [[], [], {}]),
    _hostile("options are a list", [[], {"delivery_ids": [1]}, ["callbacks"]]),
    _hostile("a positional argument", [[1], {}, {}]),
    _hostile("further tasks", [[], {"delivery_ids": [1]}, {"callbacks": [{"task": TASK}]}]),
    _hostile("odd further tasks", [[], {"delivery_ids": [1]}, {"errbacks": 7}]),
    _with_arguments("another name", {"delivery": 1}),
    _with_arguments("too many names", {"delivery_ids": [1], "more": 2}),
    _of_ours("id is a text", {"redelivery_id": f"1{FORGED}"}),
    _of_ours("id is a list", {"redelivery_id": [1]}),
    _of_ours("id is negative", {"redelivery_id": -1}),
    _with_arguments("ids are one", {"delivery_ids": 1}),
    _with_arguments("ids are texts", {"delivery_ids": [f"1{FORGED}"]}),
    _with_arguments("ids are fractions", {"delivery_ids": [1.5]}),
    _with_arguments("ids are truths", {"delivery_ids": [True]}),
    _with_arguments("ids are negative", {"delivery_ids": [-1]}),
    _with_arguments("ids are huge", {"delivery_ids": [10**30]}),
    _with_arguments("ids are lists", {"delivery_ids": [[1]]}),
    _with_arguments("ids are an object", {"delivery_ids": {"1": 1}}),
    _with_headers("task is nothing", task=None),
    _with_headers("task is empty", task=""),
    _with_headers("task is a number", task=7),
    _with_headers("task is a list", task=[TASK]),
    _with_headers("task is long", task="x" * 100_000),
    _with_headers("id is nothing", id=None),
    _with_headers("id is a number", id=7),
    _with_headers("id is a table", id={"a": 1}),
    _with_headers("id is long", id="x" * 100_000),
    _with_headers("eta is a word", eta="tomorrow"),
    _with_headers("eta is a number", eta=5),
    _with_headers("eta is far away", eta="9999-12-31T23:59:59+00:00"),
    _with_headers("expires is a word", expires=f"never{FORGED}"),
    _with_headers("expires is a table", expires={"a": 1}),
    _with_headers("time limit is a text", timelimit="ab"),
    _with_headers("time limit is one", timelimit=[1]),
    _with_headers("time limits are texts", timelimit=["a", "b"]),
    _with_headers("time limits are a table", timelimit={"a": 1}),
    _with_headers("retries is a text", retries="many"),
    _with_headers("group is a table", group={"a": 1}),
    _with_headers("shadow is a list", shadow=["a"]),
    _with_headers("stamps are a text", stamps="a", stamped_headers="b"),
    _with_headers("arguments are shown as a table", argsrepr={"a": 1}),
    _with_headers("compression that is none", compression="gzip"),
    _with_headers("no such compression", compression="shrink"),
    _with_headers("nested headers", more=json.loads(nested(60))),
]
#: Without a task they are no task messages at all.
WITHOUT_TASK = [
    Hostile("no headers", b"[[], {}, {}]", {}, {"content_type": "application/json"}),
    Hostile("no headers, no json", b"hello", {}, {"content_type": "text/plain"}),
    Hostile("of old", b'{"task": 7, "id": "x"}', {}, {"content_type": "application/json"}),
    Hostile(
        "of old, without arguments",
        b'{"task": "tests.remember", "id": "x", "args": 5, "kwargs": []}',
        {},
        {"content_type": "application/json"},
    ),
]


def _item(**changes: Any) -> str:
    item: dict[str, Any] = {
        "body": "W1tdLCB7fSwge31d",
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": TASK, "id": "x"},
        "properties": {
            "delivery_tag": "x",
            "delivery_info": {"exchange": "", "routing_key": "cdc"},
            "body_encoding": "base64",
        },
    }
    return json.dumps(item | changes)


def _properties(**changes: Any) -> str:
    properties = {
        "delivery_tag": "x",
        "delivery_info": {"exchange": "", "routing_key": "cdc"},
        "body_encoding": "base64",
    }
    return _item(properties=properties | changes)


EMPTY: tuple[Any, ...] = ([], {})
#: Items in a list of Redis that are no messages of kombu's.
ITEMS: list[bytes | str] = [
    *(b"not json", b"\xff\xfe", "null", "[]", "5", '"text"', "{}", nested(100_000)),
    *(_item(properties=value) for value in (None, 5, "text", *EMPTY)),
    *(_item(headers=value) for value in (5, "text", ["a"], FORGED)),
    *(_item(body=value) for value in (5, ["a"], "no base64", {"a": 1})),
    *(_item(**{"content-type": value}) for value in (5, ["a"], {"a": 1})),
    *(_item(**{"content-encoding": value}) for value in (5, ["a"])),
    *(_properties(delivery_tag=value) for value in (None, True, ["a"], {"a": 1})),
    *(_properties(delivery_info=value) for value in (None, "text", *EMPTY, {"exchange": 5})),
    *(_properties(body_encoding=value) for value in ("rot13", 5, ["a"])),
]
#: Control messages and events of anybody.
BROADCASTS = [
    *(b"not json", b"null", b"[]", b"5", b"{}", nested(100_000).encode()),
    b'{"method": 7}',
    b'{"method": ["ping"]}',
    b'{"method": "ping", "arguments": 5}',
    b'{"method": "ping", "arguments": {"no": "such"}, "reply_to": "text", "ticket": 5}',
    b'{"method": "ping", "reply_to": {"exchange": 5, "routing_key": []}}',
    b'{"method": "ping", "destination": 5}',
    b'{"method": "ping", "pattern": "(", "matcher": "pcre"}',
    json.dumps({"method": f"ping{FORGED}"}).encode(),
    json.dumps({"method": "no such command"}).encode(),
]
