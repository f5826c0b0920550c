"""Compiled JSON gives what the standard library gives, for every text and every value."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listeners.salesforce.fast_json import encoded, parsed

TEXTS = st.text(st.characters(codec=None), max_size=8)  # lone surrogates too
NUMBERS = st.integers() | st.integers(-(10**400), 10**400) | st.floats()
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)
ODD_TEXTS = [
    b"12345678901234567890123", b"-9223372036854775809", b"18446744073709551616", b"9" * 4300,
    b"-0", b"-0.0", b"0.1", b"1E5", b"1e999", b"-1e999", b"5e-324", b"123456789012345678901.25",
    b"2.2250738585072011e-308", b"NaN", b"[Infinity, -Infinity]", b'{"a": 1, "b": 2, "a": 3}',
    b'"\\ud800"', b'"\\ud83d\\ude00"', b'"\\udc00\\ud83d"', b'"\xed\xa0\x80"', b'"\\u0000"',
    b'"\x7f"', b'"\xc3\x28"', b'"a\tb"', b'"\\/"', b"[1,]", b" [1 ] ", b"1 2", b"01", b"1.", b".5",
    b"+1", b"tru", b"", b"\xef\xbb\xbf1", '{"1": "ü"}'.encode("utf-16"), b"[" * 500 + b"]" * 500,
    b"[" * 100_000, b"9" * 4301,
]  # fmt: skip


def outcome(read: Any, text: bytes) -> str:
    """Return the result with its types and the order of its keys, or the error's type."""
    try:
        return repr(read(text))
    except (ValueError, RecursionError) as error:
        return type(error).__name__


@pytest.mark.parametrize("text", ODD_TEXTS, ids=lambda text: repr(text[:24]))
def test_a_text_that_is_written_oddly_is_parsed_as_by_the_standard_library(text: bytes) -> None:
    assert outcome(parsed, text) == outcome(json.loads, text)


@given(VALUES, st.booleans())
def test_any_value_is_parsed_as_by_the_standard_library(value: Any, escaped: bool) -> None:
    text = json.dumps(value, ensure_ascii=escaped).encode(errors="surrogatepass")

    assert repr(parsed(text)) == repr(json.loads(text))


@given(VALUES, st.data())
def test_a_spoilt_text_is_parsed_or_refused_as_by_the_standard_library(
    value: Any, data: st.DataObject
) -> None:
    text = json.dumps(value).encode()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 3)))
    piece = data.draw(st.binary(max_size=3) | st.sampled_from([b"1e999", b",", b"\\ud800", b"-0"]))
    spoilt = text[:start] + piece + text[end:]

    assert outcome(parsed, spoilt) == outcome(json.loads, spoilt)


@given(
    st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
)
def test_a_number_is_parsed_to_the_same_bits(number: str) -> None:
    assert repr(parsed(number.encode())) == repr(json.loads(number))


@given(VALUES)
def test_an_encoded_value_is_the_one_that_the_standard_library_encodes(value: Any) -> None:
    assert repr(json.loads(encoded(value))) == repr(json.loads(json.dumps(value)))


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": -float("inf")}])
def test_a_number_that_is_not_finite_does_not_become_null(value: Any) -> None:
    assert encoded(value) == json.dumps(value).encode()
