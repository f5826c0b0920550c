from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listeners.salesforce.decode import decode
from listeners.salesforce.errors import Undecodable
from listeners.salesforce.pubsub.bitmaps import named
from listeners.salesforce.pubsub.values import Field
from tests.listeners.salesforce.pubsub.avro_events import THING, message, schema_of

FIELDS = schema_of(THING).fields


@pytest.mark.parametrize(
    ("elements", "names"),
    [
        ([], []),
        (["0x00"], []),
        (["0x06"], ["Name", "Phone"]),
        (["0X60"], ["Amount", "LastModifiedDate"]),
        (["0x40", "3-0x01"], ["Billing.Street", "LastModifiedDate"]),
        (["3-0x05"], ["Billing.Street", "Billing.Lat"]),
        (["4-0x02", "1-0x02", "0x20"], ["Name.LastName", "Shipping.City", "Amount"]),
        (["0x00000000000000000000000000000004"], ["Phone"]),
        (["0x02", "0x04"], ["Name", "Phone"]),
        (["3-0x01", "3-0x04"], ["Billing.Street", "Billing.Lat"]),
        (["Phone", "0x40"], ["Phone", "LastModifiedDate"]),
        (["New__c", "0x40", "Billing.City"], ["Billing.City", "LastModifiedDate", "New__c"]),
    ],
)
def test_bits_name_fields_in_the_order_of_the_schema(elements: list[str], names: list[str]) -> None:
    assert list(named(elements, FIELDS).names) == names


@pytest.mark.parametrize("name", ["changedFields", "nulledFields", "diffFields"])
@pytest.mark.parametrize(
    ("element", "why"),
    [
        ("0x80", "0x80 names bit 7, but the record has 7 fields"),
        ("3-0x08", "3-0x08 names bit 3, but Billing has 3 fields"),
        ("2-0x01", "2-0x01 names children of Phone, which has none"),
        ("7-0x01", "7-0x01 names the field at 7, but the record has 7"),
        ("999999999-0x01", "names the field at 999999999"),
        ("0x", "0x is not a valid bitmap"),
        ("0xZZ", "0xZZ is not a valid bitmap"),
        ("0x_1", "0x_1 is not a valid bitmap"),
        ("-3-0x01", "-3-0x01 is not a valid bitmap"),
        ("3-5", "3-5 is not a valid bitmap"),
        ("0x" + "f" * 100_000, "ffff… names bit 399999"),
    ],
)
def test_a_bitmap_that_does_not_fit_the_schema_is_a_flaw_that_names_it(
    name: str, element: str, why: str
) -> None:
    with pytest.raises(Undecodable) as flaw:
        decode(message({"Phone": "1"}, **{name: [element]}))

    assert flaw.value.reason.startswith(f"ChangeEventHeader.{name}: ")
    assert why in flaw.value.reason
    assert flaw.value.replay_id == "0x0000000000a748390000"


def test_the_header_names_fields_and_keeps_empty_lists() -> None:
    [one] = decode(message({}, changedFields=["0x40"], nulledFields=["0x04"]))
    [other] = decode(message({}, diffFields=["3-0x01"]))

    assert one.changed_fields == ("LastModifiedDate",)
    assert one.nulled_fields == ("Phone",)
    assert one.diff_fields == ()
    assert other.changed_fields == other.nulled_fields == ()
    assert other.diff_fields == ("Billing.Street",)


WIDE = tuple(
    Field(f"F{place}", None, (Field("A", None), Field("B", None)) if place % 3 == 0 else ())
    for place in range(130)
)


@settings(deadline=None)
@given(
    top=st.sets(st.integers(0, 129)),
    within=st.dictionaries(st.integers(0, 43).map(lambda n: n * 3), st.integers(1, 3)),
    upper=st.booleans(),
)
def test_every_set_of_fields_is_found_again(
    top: set[int], within: dict[int, int], upper: bool
) -> None:
    bits = f"{sum(1 << place for place in top):0{34}x}"
    elements = [f"0x{bits.upper() if upper else bits}"]
    elements += [f"{place}-0x{children:02x}" for place, children in within.items()]

    found: Any = named(elements, WIDE)

    children = {
        f"F{place}.{'AB'[bit]}" for place, b in within.items() for bit in (0, 1) if b >> bit & 1
    }
    assert set(found.names) == {f"F{place}" for place in top} | children
    assert sorted(found.names, key=lambda name: int(name[1:].split(".")[0])) == list(found.names)
