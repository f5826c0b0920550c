"""Many records are read with one request."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from listeners.salesforce.errors import RestRefused, TransportFailed
from listeners.salesforce.rest.client import MAX_IDS, RestClient
from tests.listeners.salesforce.scripted import TOKEN_PATH, Reply, ScriptedOrg, of_json, plain_http

BASE = "/services/data/v67.0"
MANY = f"{BASE}/composite/sobjects/Account"
ANY = f"{BASE}/query?q=SELECT%20Id%20FROM%20Account%20LIMIT%201"
A, B, C = "001000000000001AAA", "001000000000002AAA", "001000000000003AAA"
NOT_FOUND = of_json([{"errorCode": "NOT_FOUND", "message": "no such thing"}], 404)
MALFORMED = of_json([{"errorCode": "MALFORMED_ID", "message": "malformed id"}], 400)


def client(org: ScriptedOrg) -> RestClient:
    return RestClient(org.tokens(), "67.0", (60, 60), http=plain_http())


def one(record_id: str) -> str:
    return f"{BASE}/sobjects/Account/{record_id}"


def account(record_id: str, **fields: Any) -> dict[str, Any]:
    return {"attributes": {"type": "Account"}, "Id": record_id, **fields}


def asked_for(org: ScriptedOrg) -> list[Any]:
    return [json.loads(call.body) for call in org.asked(MANY)]


def test_the_fields_of_one_record_are_asked_of_all(org: ScriptedOrg) -> None:
    org.tell(one(A), account(A, Name="Acme", Phone=None))
    org.tell(MANY, [account(A, Name="Acme"), None, account(C, Name="Globex")])

    read = client(org).read_many("Account", [A, B, C])

    assert asked_for(org) == [{"ids": [A, B, C], "fields": ["Id", "Name", "Phone"]}]
    assert list(read.records) == [A, C]
    assert read.records[C]["Name"] == "Globex"


def test_the_fields_are_learnt_once(org: ScriptedOrg) -> None:
    rest = client(org)
    org.tell(one(A), account(A, Name="Acme"))
    org.tell(MANY, [account(A)], [account(B)])

    rest.read_many("Account", [A])
    rest.read_many("Account", [B])

    assert len(org.asked(one(A))) == 1
    assert not org.asked(one(B))


def test_the_fields_are_learnt_from_one_that_exists(org: ScriptedOrg) -> None:
    org.tell(one(A), NOT_FOUND)
    org.tell(one(B), account(B, Name="Acme"))
    org.tell(MANY, [None, account(B)], [None, account(B, Name="Acme")])

    read = client(org).read_many("Account", [A, B])

    assert [body["fields"] for body in asked_for(org)] == [["Id"], ["Id", "Name"]]
    assert read.records == {B: account(B, Name="Acme")}


def test_records_none_of_which_exists_are_none(org: ScriptedOrg) -> None:
    org.tell(one(A), NOT_FOUND)
    org.tell(MANY, [None, None], [None, None])

    read = client(org).read_many("Account", [A, B])

    assert (read.records, read.refused) == ({}, {})


def test_a_record_that_is_restored_during_the_read_is_not_taken_for_empty(org: ScriptedOrg) -> None:
    org.tell(one(A), NOT_FOUND)
    org.tell(MANY, [None], [account(A)])

    with pytest.raises(TransportFailed, match="were restored while they were read"):
        client(org).read_many("Account", [A])


def test_a_short_id_is_the_same_record(org: ScriptedOrg) -> None:
    org.tell(one(A[:15]), account(A, Name="Acme"))
    org.tell(MANY, [account(A, Name="Acme")])

    assert client(org).read_many("Account", [A[:15]]).records[A[:15]]["Name"] == "Acme"


def test_two_ids_that_begin_alike_are_two_records(org: ScriptedOrg) -> None:
    """The last three characters of a made-up id need not be its checksum."""
    alike, another = "001000000000000001", "001000000000000002"
    org.tell(one(alike), {"Name": "Acme"})
    org.tell(MANY, [account(alike, Name="Acme"), account(another, Name="Globex")])

    read = client(org).read_many("Account", [alike, another, "001000000000000003"])

    assert {record_id: record["Name"] for record_id, record in read.records.items()} == {
        alike: "Acme",
        another: "Globex",
    }
    assert asked_for(org)[0]["fields"] == ["Id", "Name"]


@pytest.mark.parametrize("refusal", [MALFORMED, NOT_FOUND, of_json("POST?", 405)])
def test_what_cannot_be_read_together_is_read_one_by_one(org: ScriptedOrg, refusal: Reply) -> None:
    org.tell(one(A), account(A), account(A, Name="Acme"))
    org.tell(one(B), MALFORMED)
    org.tell(one(C), NOT_FOUND)
    org.tell(MANY, refusal)

    read = client(org).read_many("Account", [A, B, C])

    assert read.records == {A: account(A, Name="Acme")}
    assert read.refused[B].error_code == "MALFORMED_ID"
    assert C not in read.refused


def test_an_entity_that_cannot_be_read_at_all_is_refused_and_not_empty(org: ScriptedOrg) -> None:
    ids = [f"0010000000{number:05}AAA" for number in range(50)]
    for record_id in ids:
        org.tell(one(record_id), *[NOT_FOUND] * 2)
    org.tell(MANY, NOT_FOUND)
    org.tell(ANY, of_json([{"errorCode": "INVALID_TYPE", "message": "no such thing"}], 400))

    with pytest.raises(RestRefused, match="INVALID_TYPE"):
        client(org).read_many("Account", ids)

    assert len([call for call in org.calls if "/sobjects/Account/" in call.path]) < 25


@pytest.mark.parametrize("absent", [NOT_FOUND, of_json("nothing here", 404)])
def test_records_not_found_are_gone_if_their_entity_can_be_queried(
    org: ScriptedOrg, absent: Reply
) -> None:
    org.tell(one(A), absent, absent)
    org.tell(MANY, NOT_FOUND)
    org.tell(ANY, {"totalSize": 1, "done": True, "records": [{"Id": B}]})

    read = client(org).read_many("Account", [A])

    assert (read.records, read.refused) == ({}, {})


def test_a_daily_limit_is_not_tried_one_by_one(org: ScriptedOrg) -> None:
    org.tell(one(A), account(A))
    org.tell(MANY, of_json([{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "no"}], 403))

    with pytest.raises(RestRefused, match="REQUEST_LIMIT_EXCEEDED"):
        client(org).read_many("Account", [A, B])

    assert not org.asked(one(B))


def test_a_refused_token_is_replaced_once_and_all_is_asked_again(org: ScriptedOrg) -> None:
    expired = of_json([{"errorCode": "INVALID_SESSION_ID", "message": "expired"}], 401)
    org.tell(one(A), account(A))
    org.tell(MANY, expired, [account(A)])

    assert list(client(org).read_many("Account", [A]).records) == [A]
    assert len(org.asked(TOKEN_PATH)) == 2
    assert asked_for(org)[0] == asked_for(org)[1]


def test_what_was_read_is_known_until_a_moment_before_the_answer_by_the_servers_clock(
    org: ScriptedOrg,
) -> None:
    org.tell(one(A), account(A))
    org.tell(MANY, of_json([account(A)], 200, ("Date", "Tue, 09 Apr 2024 20:26:27 GMT")))

    read = client(org).read_many("Account", [A])

    assert 1_712_694_387_000 - 7_000 < read.read_at <= 1_712_694_387_000 - 1_000


def test_without_the_servers_clock_it_is_ours_less_ten_seconds(org: ScriptedOrg) -> None:
    org.tell(one(A), account(A))
    org.tell(MANY, of_json([account(A)], 200, ("Date", "soon")))

    read = client(org).read_many("Account", [A])

    assert read.read_at <= round(time.time() * 1000) - 10_000


def test_more_than_salesforce_reads_at_once_is_a_mistake(org: ScriptedOrg) -> None:
    with pytest.raises(ValueError, match="2001"):
        client(org).read_many("Account", ["001"] * (MAX_IDS + 1))
