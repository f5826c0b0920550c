"""The REST API serves records, as far as consumers of change events need it."""

import pytest

from tests.simulator.process import SimulatorProcess
from tests.simulator.wire_client import WireClient

pytestmark = pytest.mark.anywhere

NOT_FOUND = [{"message": "The requested resource does not exist", "errorCode": "NOT_FOUND"}]


def test_a_record_has_flat_and_compound_fields(
    shared_org: SimulatorProcess, shared_client: WireClient
) -> None:
    [record_id] = shared_org.create(
        "Contact",
        Name={"Salutation": "Dr.", "FirstName": "Mei", "LastName": "Ito"},
        MailingAddress={"City": "Osaka", "PostalCode": "530-0001"},
    )

    record = shared_client.log_in().get(f"/services/data/v60.0/sobjects/Contact/{record_id}").json()

    assert record["attributes"] == {
        "type": "Contact",
        "url": f"/services/data/v60.0/sobjects/Contact/{record_id}",
    }
    assert (record["Id"], record["Name"], record["LastName"]) == (record_id, "Mei Ito", "Ito")
    assert record["MailingAddress"] == {
        **dict.fromkeys(("country", "geocodeAccuracy", "latitude", "longitude", "state", "street")),
        "city": "Osaka",
        "postalCode": "530-0001",
    }
    assert record["MailingStreet"] is None
    assert record["MailingCity"] == "Osaka"
    assert record["IsDeleted"] is False
    assert record["CreatedDate"].endswith(".000+0000")


def test_only_the_fields_asked_for(shared_org: SimulatorProcess, shared_client: WireClient) -> None:
    [record_id] = shared_org.create("Account", Name="Acme", Phone="1")

    record = (
        shared_client.log_in()
        .get(f"/services/data/v60.0/sobjects/Account/{record_id}", fields="Name,Website")
        .json()
    )

    assert (record.pop("attributes")["type"], record) == (
        "Account",
        {"Name": "Acme", "Website": None},
    )


def test_records_that_are_not_there(
    shared_org: SimulatorProcess, shared_client: WireClient
) -> None:
    [record_id] = shared_org.create("Account", Name="Acme")
    shared_org.delete("Account", record_id)
    shared_client.log_in()

    unknown = shared_client.get("/services/data/v60.0/sobjects/Account/001000000000000AAA")
    deleted = shared_client.get(f"/services/data/v60.0/sobjects/Account/{record_id}")
    elsewhere = shared_client.get("/services/data/v60.0/nothing")

    assert (unknown.status_code, unknown.json()) == (404, NOT_FOUND)
    assert deleted.json()[0]["errorCode"] == "ENTITY_IS_DELETED"
    assert elsewhere.json() == NOT_FOUND


def test_a_token_is_needed(shared_client: WireClient) -> None:
    response = shared_client.get("/services/data/v60.0/limits")

    assert response.status_code == 401
    assert response.json() == [
        {"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}
    ]


def test_versions_and_limits_and_a_description(shared_client: WireClient) -> None:
    versions = shared_client.get("/services/data/").json()
    shared_client.log_in()
    limits = shared_client.get("/services/data/v60.0/limits").json()
    described = shared_client.get("/services/data/v60.0/sobjects/Employee__c/describe").json()

    assert "60.0" in [version["version"] for version in versions]
    assert limits["DailyDeliveredPlatformEvents"] == {"Max": 50_000, "Remaining": 50_000}
    assert (described["keyPrefix"], described["custom"]) == ("a00", True)
    types = {field["name"]: field["type"] for field in described["fields"]}
    assert (types["Tenure__c"], types["SystemModstamp"]) == ("double", "datetime")
