"""Identifiers have the form of a real org's."""

import random
import re

import pytest

from simulator.org.ids import OpaqueIds, RecordIds, schema_id, with_checksum

pytestmark = pytest.mark.anywhere


@pytest.mark.parametrize(
    "record_id",
    ["001Dp00000JJkjiIAD", "0015f00002J9YaUAAV", "a00B000000AVWaZIAX", "005xx000001TT96AAG"],
)
def test_the_checksum_of_real_ids(record_id: str) -> None:
    assert with_checksum(record_id[:15]) == record_id


def test_record_ids_increase_within_a_prefix() -> None:
    ids = RecordIds(random.Random(1))

    made = [ids.next("003") for _ in range(500)]

    assert len(set(made)) == 500
    assert all(record_id.startswith("003") and len(record_id) == 18 for record_id in made)


def test_a_transaction_key_has_the_shape_of_a_uuid() -> None:
    key = OpaqueIds(random.Random(1)).transaction_key()

    assert re.fullmatch(r"000[0-9a-f]{5}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", key)


def test_a_schema_id_is_stable_for_an_entity() -> None:
    assert schema_id("Account") == schema_id("Account")
    assert re.fullmatch(r"[\w-]{22}", schema_id("Account"))
