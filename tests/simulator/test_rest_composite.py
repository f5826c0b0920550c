"""Composite, batch and tree requests hold several requests in one."""

from typing import Any

import pytest

from tests.simulator.process import SimulatorProcess
from tests.simulator.rest_client import RestClient

pytestmark = pytest.mark.anywhere

DATA = "/services/data/v61.0"


@pytest.fixture(scope="module")
def rest(shared_org: SimulatorProcess) -> RestClient:
    return RestClient(shared_org)


def account_with_contact(**contact: Any) -> list[dict[str, Any]]:
    return [
        {
            "method": "POST",
            "url": f"{DATA}/sobjects/Account",
            "referenceId": "acme",
            "body": {"Name": "Acme"},
        },
        {
            "method": "POST",
            "url": f"{DATA}/sobjects/Contact",
            "referenceId": "mei",
            "body": {"LastName": "Ito", "AccountId": "@{acme.id}", **contact},
        },
        {
            "method": "GET",
            "url": f"{DATA}/sobjects/Contact/@{{mei.id}}?fields=LastName,AccountId",
            "referenceId": "read",
        },
    ]


def composite(
    rest: RestClient, requests: list[dict[str, Any]], **options: Any
) -> list[dict[str, Any]]:
    body = {"compositeRequest": requests, **options}
    lines: list[dict[str, Any]] = rest.send("POST", "composite", body).json()["compositeResponse"]
    return lines


def published(org: SimulatorProcess) -> int:
    count: int = org.state(events=0, records=0)["event_count"]
    return count


@pytest.mark.parametrize("all_or_none", [False, True])
def test_later_requests_refer_to_earlier_answers(
    shared_org: SimulatorProcess, rest: RestClient, all_or_none: bool
) -> None:
    before = published(shared_org)

    acme, mei, read = composite(rest, account_with_contact(), allOrNone=all_or_none)

    assert [line["httpStatusCode"] for line in (acme, mei, read)] == [201, 201, 200]
    assert (mei["referenceId"], mei["httpHeaders"]["Location"]) == (
        "mei",
        f"{DATA}/sobjects/Contact/{mei['body']['id']}",
    )
    assert read["body"]["AccountId"] == acme["body"]["id"]
    events = shared_org.state(records=0)["events"][before:]
    keys = {event["header"]["transactionKey"] for event in events}
    assert (len(events), len(keys)) == (2, 1 if all_or_none else 2)


def test_a_failure_stops_what_refers_to_it(rest: RestClient) -> None:
    acme, mei, read = composite(rest, account_with_contact(LastName=None))

    assert acme["httpStatusCode"] == 201
    assert mei["body"][0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    assert (read["httpStatusCode"], read["body"]) == (
        400,
        [
            {
                "errorCode": "PROCESSING_HALTED",
                "message": "Invalid reference specified. No value for mei.id found",
            }
        ],
    )


def test_all_or_none_undoes_the_whole_request(
    shared_org: SimulatorProcess, rest: RestClient
) -> None:
    [kept] = shared_org.create("Account", Name="Kept")
    before = shared_org.state()
    requests = [
        {"method": "PATCH", "url": f"{DATA}/sobjects/Account/{kept}", "body": {"Phone": "1"}},
        *account_with_contact(LastName=None),
    ]

    patched, acme, mei, _read = composite(rest, requests, allOrNone=True)

    for undone in (patched, acme):
        assert (undone["httpStatusCode"], undone["body"][0]["errorCode"]) == (
            400,
            "PROCESSING_HALTED",
        )
    assert mei["body"][0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    after = shared_org.state()
    assert (after["records"], after["event_count"]) == (before["records"], before["event_count"])


def test_a_batch_knows_no_references_and_goes_on(rest: RestClient) -> None:
    requests = [
        {"method": "GET", "url": "v61.0/sobjects/Account/001x"},
        {"method": "POST", "url": "v61.0/sobjects/Account", "richInput": {"Name": "Acme"}},
        {"method": "GET", "url": "v61.0/query?q=SELECT+COUNT()+FROM+Account"},
    ]

    going_on = rest.send("POST", "composite/batch", {"batchRequests": requests}).json()
    halting = rest.send(
        "POST", "composite/batch", {"haltOnError": True, "batchRequests": requests}
    ).json()

    assert going_on["hasErrors"] is True
    assert [one["statusCode"] for one in going_on["results"]] == [400, 201, 200]
    assert going_on["results"][2]["result"]["totalSize"] > 0
    assert [one["statusCode"] for one in halting["results"]] == [400, 412, 412]
    assert halting["results"][1]["result"][0]["errorCode"] == "BATCH_PROCESSING_HALTED"


@pytest.mark.parametrize(
    ("path", "name"), [("composite", "compositeRequest"), ("composite/batch", "batchRequests")]
)
def test_only_so_many_subrequests_are_taken(rest: RestClient, path: str, name: str) -> None:
    request = {"method": "GET", "url": f"{DATA}/limits", "referenceId": "one"}

    refused = rest.send("POST", path, {name: [request] * 26})

    assert (refused.status_code, refused.json()[0]["errorCode"]) == (400, "LIMIT_EXCEEDED")


def tree(**contact: Any) -> dict[str, Any]:
    child = {"attributes": {"type": "Contact", "referenceId": "child"}, **contact}
    parent = {"attributes": {"type": "Account", "referenceId": "parent"}, "Name": "Acme"}
    return {"records": [{**parent, "Contacts": {"records": [child]}}]}


def test_a_tree_creates_parents_and_children(
    shared_org: SimulatorProcess, rest: RestClient
) -> None:
    response = rest.send("POST", "composite/tree/Account", tree(LastName="Ito"))

    ids = {one["referenceId"]: one["id"] for one in response.json()["results"]}
    assert (response.status_code, response.json()["hasErrors"]) == (201, False)
    contact = shared_org.state(events=0)["records"]["Contact"][ids["child"]]
    assert contact["AccountId"] == ids["parent"]


def test_a_tree_with_a_bad_record_creates_none(
    shared_org: SimulatorProcess, rest: RestClient
) -> None:
    before = shared_org.state()

    response = rest.send("POST", "composite/tree/Account", tree())

    [refused] = response.json()["results"]
    assert (response.status_code, refused["referenceId"]) == (400, "child")
    assert refused["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert shared_org.state()["records"] == before["records"]
