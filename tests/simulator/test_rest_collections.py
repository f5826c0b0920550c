"""Many records can be written in one request, and one record by an external id."""

import itertools
from typing import Any

import pytest

from tests.simulator.process import SimulatorProcess
from tests.simulator.rest_client import RestClient

pytestmark = pytest.mark.anywhere

COLLECTION = "composite/sobjects"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def rest(shared_org: SimulatorProcess) -> RestClient:
    return RestClient(shared_org)


def account(**fields: Any) -> dict[str, Any]:
    return {"attributes": {"type": "Account"}, **fields}


def new_key() -> str:
    """Return an external id that no record has yet."""
    return f"key/{next(_numbers)}"


def headers_since(org: SimulatorProcess, before: int) -> list[dict[str, Any]]:
    events = org.state(records=0)["events"]
    return [event["header"] for event in events[before:]]


def published(org: SimulatorProcess) -> int:
    count: int = org.state(events=0, records=0)["event_count"]
    return count


def test_records_are_created_updated_and_deleted_together(
    shared_org: SimulatorProcess, rest: RestClient
) -> None:
    before = published(shared_org)

    made = rest.send("POST", COLLECTION, {"records": [account(Name="A"), account(Name="B")]}).json()
    ids = [one["id"] for one in made]
    changed = rest.send(
        "PATCH",
        COLLECTION,
        {
            "allOrNone": True,
            "records": [account(id=ids[0], Phone="1"), account(Id=ids[1], Phone="2")],
        },
    ).json()
    gone = rest.send("DELETE", COLLECTION, ids=",".join(ids), allOrNone="false").json()

    expected = [{"id": one, "success": True, "errors": []} for one in ids]
    assert made == changed == gone == expected
    headers = headers_since(shared_org, before)
    kinds = [header["changeType"] for header in headers]
    assert kinds == ["CREATE", "CREATE", "UPDATE", "UPDATE", "DELETE"]
    assert headers[-1]["recordIds"] == ids
    keys = [header["transactionKey"] for header in headers]
    assert keys[0] == keys[1] != keys[2] == keys[3] != keys[4]


def test_good_records_are_written_beside_bad_ones(rest: RestClient) -> None:
    answer = rest.send("POST", COLLECTION, {"records": [account(Name="A"), account(Phone="1")]})

    good, bad = answer.json()
    assert good["success"] is True
    assert bad == {
        "success": False,
        "errors": [
            {
                "statusCode": "REQUIRED_FIELD_MISSING",
                "message": "Required fields are missing: [Name]",
                "fields": ["Name"],
            }
        ],
    }


def test_all_or_none_keeps_out_the_good_ones_too(
    shared_org: SimulatorProcess, rest: RestClient
) -> None:
    before = published(shared_org)
    records = [account(Name="A"), account(Phone="1")]

    answer = rest.send("POST", COLLECTION, {"allOrNone": True, "records": records}).json()

    codes = [one["errors"][0]["statusCode"] for one in answer]
    assert codes == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "REQUIRED_FIELD_MISSING"]
    assert published(shared_org) == before


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"records": [account(Name="A")] * 201}, "EXCEEDED_ID_LIMIT"),
        ({"records": []}, "MISSING_ARGUMENT"),
        ({"records": "Name"}, "JSON_PARSER_ERROR"),
    ],
)
def test_a_collection_that_is_refused_as_a_whole(
    rest: RestClient, body: dict[str, Any], code: str
) -> None:
    response = rest.send("POST", COLLECTION, body)

    assert (response.status_code, response.json()[0]["errorCode"]) == (400, code)


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ({"Name": "A"}, "INVALID_FIELD"),
        (account(Colour=1), "INVALID_FIELD"),
        ({"attributes": {"type": "Lead"}, "Name": "A"}, "NOT_FOUND"),
    ],
)
def test_a_record_that_is_refused_in_a_collection(
    rest: RestClient, record: dict[str, Any], code: str
) -> None:
    [answer] = rest.send("POST", COLLECTION, {"records": [record]}).json()

    assert answer["errors"][0]["statusCode"] == code


def test_an_external_id_creates_updates_reads_and_deletes_a_record(
    shared_org: SimulatorProcess, rest: RestClient
) -> None:
    path = f"sobjects/Account/External_Id__c/{new_key().replace('/', '%2F')}"
    before = published(shared_org)

    made = rest.send("PATCH", path, {"Name": "Acme"})
    changed = rest.send("PATCH", path, {"Phone": "1"})
    old_client = rest.send("PATCH", path, {"Phone": "2"}, version="45.0")
    record = rest.send("GET", path, fields="Name,Phone,External_Id__c").json()
    gone = rest.send("DELETE", path)
    missing = rest.send("GET", path)

    assert (made.status_code, made.json()["created"]) == (201, True)
    assert (changed.status_code, changed.json()) == (200, {**made.json(), "created": False})
    assert (old_client.status_code, old_client.content) == (204, b"")
    assert (record["Name"], record["Phone"]) == ("Acme", "2")
    assert record["External_Id__c"].startswith("key/")
    assert (gone.status_code, missing.status_code) == (204, 404)
    headers = headers_since(shared_org, before)
    kinds = [header["changeType"] for header in headers]
    assert kinds == ["CREATE", "UPDATE", "UPDATE", "DELETE"]
    assert {header["recordIds"][0] for header in headers} == {made.json()["id"]}


def test_records_are_upserted_together(rest: RestClient) -> None:
    known, new = new_key(), new_key()
    path = "composite/sobjects/Account/External_Id__c"
    first = rest.send("PATCH", path, {"records": [account(External_Id__c=known, Name="K")]}).json()

    records = [
        account(External_Id__c=known, Name="Known"),
        account(External_Id__c=new, Name="New"),
        account(Name="No key"),
        account(External_Id__c=new.upper(), Name="New again"),
    ]
    answer = rest.send("PATCH", path, {"records": records}).json()

    assert [one.get("created") for one in answer] == [False, True, None, None]
    assert answer[0]["id"] == first[0]["id"]
    codes = [one["errors"][0]["statusCode"] for one in answer[2:]]
    assert codes == ["MISSING_ARGUMENT", "DUPLICATE_VALUE"]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("Account/Name/Acme", {}, 404, "NOT_FOUND"),
        ("Lead/External_Id__c/1", {}, 404, "NOT_FOUND"),
        ("Account/External_Id__c/none", {"External_Id__c": "x", "Name": "A"}, 400, "INVALID_FIELD"),
        ("Account/External_Id__c/none", {"Phone": "1"}, 400, "REQUIRED_FIELD_MISSING"),
    ],
)
def test_an_upsert_that_is_refused(
    rest: RestClient, path: str, body: dict[str, Any], status: int, code: str
) -> None:
    response = rest.send("PATCH", f"sobjects/{path}", body)

    assert (response.status_code, response.json()[0]["errorCode"]) == (status, code)


def test_external_ids_are_unique(rest: RestClient) -> None:
    key = new_key()
    first = rest.send("POST", "sobjects/Account", {"Name": "A", "External_Id__c": key}).json()
    second = rest.send("POST", "sobjects/Account", {"Name": "B", "External_Id__c": key.upper()})
    own = rest.send("PATCH", f"sobjects/Account/{first['id']}", {"External_Id__c": key})

    assert second.json()[0]["errorCode"] == "DUPLICATE_VALUE"
    assert first["id"] in second.json()[0]["message"]
    assert own.status_code == 204


def test_an_entity_can_be_given_an_external_id(
    shared_org: SimulatorProcess, rest: RestClient
) -> None:
    shared_org.entity("Invoice__c", external_ids=["Number__c"])

    made = rest.send("PATCH", "sobjects/Invoice__c/Number__c/7", {"Total__c": 12.5})
    record = rest.send("GET", "sobjects/Invoice__c/Number__c/7").json()

    assert made.status_code == 201
    assert (record["Number__c"], record["Total__c"]) == ("7", 12.5)
