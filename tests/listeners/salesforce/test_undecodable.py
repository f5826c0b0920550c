from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listeners.salesforce.decode import decode
from listeners.salesforce.errors import Undecodable
from listeners.salesforce.events import ChangeEvent
from tests.listeners.salesforce.change_message import HEADER, message, with_value, without


@pytest.mark.parametrize(
    "path",
    [
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
    ],
)
def test_the_error_names_what_is_missing_and_where(path: str) -> None:
    with pytest.raises(Undecodable) as missing:
        decode(without(path))
    with pytest.raises(Undecodable) as null:
        decode(with_value(path, None))

    assert missing.value.reason == f"{path} is missing"
    assert null.value.reason == f"{path} is null"


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("data", [], "is an array, not an object"),
        ("data.payload", "x", "is a string, not an object"),
        (HEADER, 1, "is a number, not an object"),
        (f"{HEADER}.entityName", 1, "is a number, not a string"),
        (f"{HEADER}.entityName", "", "is empty"),
        (f"{HEADER}.changeType", True, "is a boolean, not a string"),
        (f"{HEADER}.recordIds", "001", "is a string, not an array"),
        (f"{HEADER}.recordIds", [], "is empty"),
        (f"{HEADER}.recordIds", ["001", 2], "contains a number, not only strings"),
        (f"{HEADER}.recordIds", [None], "contains null, not only strings"),
        (f"{HEADER}.recordIds", [""], "contains an empty string"),
        (f"{HEADER}.sequenceNumber", True, "is a boolean, not a whole number"),
        (f"{HEADER}.sequenceNumber", 1.0, "is a number, not a whole number"),
        (f"{HEADER}.sequenceNumber", "1", "is a string, not a whole number"),
        (f"{HEADER}.sequenceNumber", 2**63, f"is not between 0 and {2**63 - 1}"),
        (f"{HEADER}.commitTimestamp", -1, "is not between 0 and 253402300799999"),
        (f"{HEADER}.commitTimestamp", 10**15, "is not between 0 and 253402300799999"),
        (f"{HEADER}.commitNumber", 2**63, f"is not between -{2**63} and {2**63 - 1}"),
        (f"{HEADER}.commitUser", {}, "is an object, not a string"),
        (f"{HEADER}.changedFields", "Name", "is a string, not an array"),
        (f"{HEADER}.changedFields", [1], "contains a number, not only strings"),
        ("data.event.replayId", False, "is a boolean, not a number or a string"),
        ("data.event.replayId", 1.5, "is a number, not a number or a string"),
        ("data.event.replayId", "", "is an empty string, not a number or a string"),
        ("data.event.replayId", 2**1100, "is a number with too many digits"),
        ("data.event.EventUuid", 7, "is a number, not a string"),
        ("data.payload.Amount", float("inf"), "is not a finite number"),
    ],
)
def test_the_error_names_what_is_wrong_and_where(path: str, value: Any, reason: str) -> None:
    with pytest.raises(Undecodable) as flaw:
        decode(with_value(path, value))

    assert flaw.value.reason == f"{path} {reason}"
    assert isinstance(flaw.value, ValueError)


@pytest.mark.parametrize("constant", ["NaN", "-Infinity", "1e999"])
def test_a_number_no_database_takes_is_found_however_deep_it_sits(constant: str) -> None:
    text = json.dumps(with_value("data.payload.A", {"B": [0, "here"]}))

    with pytest.raises(Undecodable, match=r"data\.payload\.A\.B\[1\] is not a finite number"):
        decode(json.loads(text.replace('"here"', constant)))


def test_an_undecodable_message_keeps_its_text_and_its_replay_id() -> None:
    broken = without(HEADER)

    with pytest.raises(Undecodable) as flaw:
        decode(broken)

    assert json.loads(flaw.value.raw) == broken
    assert flaw.value.replay_id == "37904280"


def test_text_no_database_takes_is_passed_on_and_kept_storable_in_raw() -> None:
    nasty = "nul \x00, half a pair \ud800"

    [event] = decode(message() | {"channel": nasty})
    with pytest.raises(Undecodable) as flaw:
        decode(with_value("data.payload", nasty))

    assert event.channel == nasty
    assert flaw.value.raw.isascii()
    assert "\x00" not in flaw.value.raw
    assert flaw.value.replay_id == "37904280"


def test_a_message_that_cannot_be_written_as_json_is_still_undecodable() -> None:
    with pytest.raises(Undecodable) as flaw:
        decode({"channel": 10**5000})

    assert flaw.value.raw
    assert flaw.value.replay_id is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_no_json_object_breaks_the_decoder(anything: dict[str, Any]) -> None:
    with pytest.raises(Undecodable):
        decode(anything)


PLACES = [
    "channel",
    "data",
    "data.payload",
    HEADER,
    "data.event",
    "data.event.replayId",
    "data.event.EventUuid",
    "data.payload.Name",
    *(f"{HEADER}.{name}" for name in message()["data"]["payload"]["ChangeEventHeader"]),
    f"{HEADER}.changedFields",
]


@given(place=st.sampled_from(PLACES), value=json_values)
def test_no_value_in_any_place_breaks_the_decoder(place: str, value: Any) -> None:
    outcome = decoded(with_value(place, value))

    if isinstance(outcome, Undecodable):
        assert outcome.reason
        assert outcome.raw.isascii()
    else:
        assert outcome
        assert all(json.dumps(event.changed_data, allow_nan=False) for event in outcome)


def decoded(given_message: dict[str, Any]) -> list[ChangeEvent] | Undecodable:
    try:
        return decode(given_message)
    except Undecodable as flaw:
        return flaw
