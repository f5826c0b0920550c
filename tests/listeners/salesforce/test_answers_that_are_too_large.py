"""Answers are limited in their decompressed size and in the number and depth of their values."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from listeners.salesforce.auth.bearer_token import BearerToken
from listeners.salesforce.errors import AnswerTooLarge, Reaction, StreamRefused
from listeners.salesforce.http.answer_limits import (
    EVENTS,
    LOGIN,
    AnswerLimit,
    has_more_values,
    is_deeper,
)
from listeners.salesforce.http.request import Answer, NoAuth, exchange
from listeners.salesforce.rest.client import RestClient
from tests.listeners.salesforce.hostile import MIB, HostileServer, packed, twice
from tests.listeners.salesforce.messages import CHANNEL
from tests.listeners.salesforce.scripted import Reply, ScriptedOrg, plain_http

pytestmark = pytest.mark.slow

#: More than any of them takes, and a fraction of what the parsed answer would.
MOST_MEBIBYTES = 500
LISTS = packed(b"[],", 250 * MIB, b"[", b"[]]")


def asked(kind: str, url: str) -> tuple[str, int]:
    """Request the URL in a process of its own; return the outcome and the peak memory in MiB."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.listeners.salesforce.asking", kind, url],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    return told["outcome"], told["mebibytes"]


@pytest.mark.parametrize(
    ("kind", "size", "named"),
    [
        ("a login", "256 KiB", "a login"),
        ("a SOAP login", "256 KiB", "a login"),
        ("change events", "32 MiB", "change events"),
        ("the org's versions", "1 MiB", "the org's versions and limits"),
        ("a query", "32 MiB", "records"),
        ("a handler's query", "64 MiB", "a handler's request"),
    ],
)
def test_an_answer_that_is_small_on_the_wire_alone_is_not_read_to_its_end(
    kind: str, size: str, named: str
) -> None:
    with HostileServer(LISTS) as server:
        outcome, mebibytes = asked(kind, server.url)

    assert (
        f"{server.host} answered HTTP 200 with more than {size}, the limit for {named}" in outcome
    )
    assert mebibytes < MOST_MEBIBYTES


@pytest.mark.parametrize("kind", ["change events", "a query", "a handler's query"])
def test_an_answer_of_millions_of_lists_is_not_parsed(kind: str) -> None:
    with HostileServer(packed(b"[],", 31 * MIB, b"[", b"[]]")) as server:
        outcome, mebibytes = asked(kind, server.url)

    assert "JSON values, the limit for" in outcome
    assert mebibytes < MOST_MEBIBYTES


@pytest.mark.parametrize("kind", ["change events", "a handler's query"])
def test_an_answer_in_chunks_is_bounded_too(kind: str) -> None:
    with HostileServer(LISTS, chunked=True) as server:
        outcome, mebibytes = asked(kind, server.url)

    assert "MiB, the limit for" in outcome
    assert mebibytes < MOST_MEBIBYTES


@pytest.mark.parametrize(
    ("body", "encoding"), [(twice(LISTS), "gzip, gzip"), (twice(twice(LISTS)), "gzip, gzip, gzip")]
)
def test_a_gzip_within_a_gzip_is_bounded_too(body: bytes, encoding: str) -> None:
    with HostileServer(body, encoding) as server:
        outcome, mebibytes = asked("change events", server.url)

    assert "the limit for change events" in outcome
    assert mebibytes < MOST_MEBIBYTES


def test_a_large_error_page_still_names_its_status() -> None:
    with HostileServer(LISTS, status=503) as server:
        outcome, _ = asked("a login", server.url)

    assert f"{server.host} answered HTTP 503 with more than 256 KiB" in outcome


def change(number: int) -> dict[str, Any]:
    """Return a change whose text has many commas and brackets."""
    header = {"entityName": "Account", "recordIds": [f"001{number:015}"], "changeType": "UPDATE"}
    text = "[1, 2], {a, b}" * 500
    return {
        "channel": CHANNEL,
        "data": {
            "payload": {"ChangeEventHeader": header, "Description": text, "Phone": None},
            "event": {"replayId": number},
        },
    }


@pytest.fixture
def org() -> Any:
    with ScriptedOrg() as scripted:
        yield scripted


def test_ten_mebibytes_of_events_are_taken_whole(org: ScriptedOrg) -> None:
    changes = [change(number) for number in range(1500)]
    body = json.dumps(changes).encode()
    assert len(body) > 10 * MIB
    with HostileServer(body, "") as server, plain_http() as http:
        answer = exchange(http, "GET", server.url, auth=NoAuth(), timeout=(5.0, 30.0), limit=EVENTS)

    assert isinstance(answer, Answer)
    assert answer.json() == changes


def test_an_answer_of_texts_full_of_commas_is_no_answer_of_many_values() -> None:
    text = json.dumps({"a": ',[{"' * 1_000, "b": "\\"}).encode()

    assert not has_more_values(text, 3)
    assert has_more_values(b"[" + text + b",1,2,3]", 4)


def test_a_table_of_a_bulk_query_has_no_json_values() -> None:
    limit = AnswerLimit("a handler's request", MIB, 3)

    assert limit.flaw(b'"Id","Name"\n"001","Acme"\n' * 10) == ""
    for nested in (b"[1,2,3,4,5]", "\ufeff [1,2,3,4,5]".encode(), "[1,2,3,4,5]".encode("utf-16")):
        assert limit.flaw(nested) == "more than 3 JSON values"


@pytest.mark.parametrize("body", [b'"', b'"' * 100_001, b'"\\' * 100_000, b'"a\\"' * 100_000])
def test_texts_that_do_not_end_are_searched_in_linear_time(body: bytes) -> None:
    assert not has_more_values(body + b"," * 10, 1_000_000)
    has_more_values(body + b",[" * 10, 1)


def test_a_value_is_as_deep_as_it_is() -> None:
    nested: Any = 1
    for _ in range(100):
        nested = [1, nested]

    assert not is_deeper(nested)
    assert is_deeper([nested])
    assert not is_deeper("text")


def test_a_login_that_is_nested_deeply_is_no_token_answer() -> None:
    deep = b'{"error":' + b"[" * 5_000 + b"]" * 5_000 + b"}"
    with HostileServer(deep, "", status=400) as server:
        outcome, _ = asked("a login", server.url)

    assert outcome.startswith(f"LoginRefused: login refused: {server.host} answered HTTP 400")


def test_a_refusal_that_is_nested_deeply_is_a_refusal(org: ScriptedOrg) -> None:
    deep = "[" * 700 + "]" * 700  # Python 3.11 reads less than 1,000
    refusal = (
        '[{"channel": "/meta/handshake", "successful": false, '
        f'"error": {deep}, "advice": {deep}, "ext": {deep}}}]'
    )
    org.tell("/meta/handshake", Reply(refusal.encode()))
    stream = org.stream()

    with pytest.raises(StreamRefused):
        stream.open("-1")


def test_records_that_are_too_large_together_are_read_in_halves(org: ScriptedOrg) -> None:
    ids = ["001000000000001AAA", "001000000000002AAA", "001000000000003AAA"]
    rows = [{"Id": one, "Name": "Acme"} for one in ids]
    many = "/services/data/v67.0/composite/sobjects/Account"
    org.tell(f"/services/data/v67.0/sobjects/Account/{ids[0]}", rows[0])
    org.tell(many, Reply(LISTS, headers=(("Content-Encoding", "gzip"),)), rows[:1], rows[1:])

    read = RestClient(BearerToken("00D!token", org.url)).read_many("Account", ids)

    assert [json.loads(call.body)["ids"] for call in org.asked(many)] == [ids, ids[:1], ids[1:]]
    assert list(read.records.values()) == rows


def test_what_is_too_large_is_asked_for_again_after_minutes() -> None:
    limit = AnswerLimit("records", 10, 10)
    with HostileServer(b"x" * 100, "") as server, plain_http() as http:
        error = exchange(http, "GET", server.url, auth=NoAuth(), timeout=(5.0, 5.0), limit=limit)

    assert isinstance(error, AnswerTooLarge)
    assert error.reaction is Reaction.BACK_OFF_LONG
    assert LOGIN.size < MIB
