"""A change of many records becomes an entry for each, and the size of all copies is limited."""

from __future__ import annotations

from typing import Any

import pytest

from listeners.salesforce.decode import decode
from listeners.salesforce.errors import Undecodable
from tests.listeners.salesforce.change_message import message


def of_many(count: int, **fields: Any) -> Any:
    changed = message()
    payload = changed["data"]["payload"]
    payload |= fields
    payload["ChangeEventHeader"]["recordIds"] = [f"001{number:015}" for number in range(count)]
    return changed


def test_one_change_of_ten_thousand_records_is_ten_thousand_changes() -> None:
    assert len(decode(of_many(10_000, Description="x" * 10_000))) == 10_000


def test_a_change_whose_copies_would_fill_the_memory_is_set_aside() -> None:
    with pytest.raises(Undecodable, match=r"10000 records with 30.* bytes each") as flawed:
        decode(of_many(10_000, Description="x" * 30_000))

    assert "more than 256 MiB in total" in flawed.value.reason


def test_further_header_fields_are_copied_as_well() -> None:
    changed = of_many(10_000)
    changed["data"]["payload"]["ChangeEventHeader"]["later"] = "x" * 30_000

    with pytest.raises(Undecodable, match=r"10000 records with 30.* bytes each"):
        decode(changed)


def test_a_large_change_of_one_record_is_a_change() -> None:
    [event] = decode(of_many(1, Description="x" * 10_000_000))

    assert len(event.changed_data["Description"]) == 10_000_000
