"""Objects and fields of every type have the descriptions of a real org."""

from email.utils import formatdate
from typing import Any

import pytest

from tests.servers import PATIENCE_SECONDS
from tests.simulator.process import SimulatorProcess
from tests.simulator.rest_client import RestClient

pytestmark = pytest.mark.anywhere

TYPES = {
    "id": "tns:ID",
    "reference": "tns:ID",
    **dict.fromkeys(
        (
            *("string", "combobox", "textarea", "picklist", "multipicklist"),
            *("email", "phone", "url", "encryptedstring"),
        ),
        "xsd:string",
    ),
    "boolean": "xsd:boolean",
    "int": "xsd:int",
    "long": "xsd:long",
    **dict.fromkeys(("double", "currency", "percent"), "xsd:double"),
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
    "time": "xsd:time",
    "base64": "xsd:base64Binary",
    "address": "urn:address",
    "location": "urn:location",
    "anyType": "xsd:anyType",
    "JunctionIdList": "urn:JunctionIdListNames",
    "complexvalue": "urn:complexvalue",
}


@pytest.fixture
def rest(shared_org: SimulatorProcess) -> RestClient:
    return RestClient(shared_org)


def fields(rest: RestClient, name: str) -> dict[str, dict[str, Any]]:
    described = rest.send("GET", f"sobjects/{name}/describe").json()
    return {field["name"]: field for field in described["fields"]}


def chosen(field: dict[str, Any], *names: str) -> list[Any]:
    return [field[name] for name in names]


def test_a_record_has_the_fields_that_are_described(
    shared_org: SimulatorProcess, rest: RestClient
) -> None:
    place = {"City": "Graz", "State": None, "Country": "Austria", "CountryCode": "AT"}
    [record_id] = shared_org.create("Contact", Name={"LastName": "Ito"}, MailingAddress=place)

    record = rest.send("GET", f"sobjects/Contact/{record_id}").json()

    assert record["MailingAddress"]["countryCode"] == "AT"
    assert record.keys() - {"attributes"} == fields(rest, "Contact").keys()


def test_an_object_has_a_field_of_every_type(rest: RestClient) -> None:
    found = fields(rest, "Field_Types__c").values()

    assert {field["type"]: field["soapType"] for field in found} == TYPES


def test_numbers_have_precision_scale_and_digits(rest: RestClient) -> None:
    found = fields(rest, "Field_Types__c")
    numbers = ("type", "precision", "scale", "digits", "length")

    assert chosen(found["Number__c"], *numbers) == ["double", 18, 2, 0, 0]
    assert chosen(found["Whole_Number__c"], *numbers) == ["double", 9, 0, 0, 0]
    assert chosen(found["Currency__c"], *numbers) == ["currency", 18, 2, 0, 0]
    assert chosen(found["Percent__c"], *numbers) == ["percent", 5, 2, 0, 0]
    assert chosen(found["Integer__c"], *numbers) == ["int", 0, 0, 9, 0]
    assert chosen(found["High_Scale__c"], "scale", "highScaleNumber") == [8, True]
    assert chosen(fields(rest, "Account")["AnnualRevenue"], *numbers) == ["currency", 18, 0, 0, 0]


def test_texts_have_a_length_and_three_bytes_for_each_character(rest: RestClient) -> None:
    found = fields(rest, "Field_Types__c")
    texts = ("length", "byteLength", "extraTypeInfo", "htmlFormatted", "filterable")

    assert chosen(found["Text__c"], *texts) == [80, 240, None, False, True]
    assert chosen(found["Text_Area__c"], *texts) == [255, 765, "plaintextarea", False, True]
    assert chosen(found["Long_Text__c"], *texts)[:3] == [131_072, 393_216, "plaintextarea"]
    assert chosen(found["Rich_Text__c"], *texts)[2:] == ["richtextarea", True, False]
    assert chosen(found["Id"], *texts)[:2] == [18, 18]
    assert found["Encrypted__c"]["encrypted"] is True
    assert "encrypted" not in found["Text__c"]


def test_picklists_have_their_values(rest: RestClient) -> None:
    found = fields(rest, "Field_Types__c")

    values = {value["value"]: value["active"] for value in found["Picklist__c"]["picklistValues"]}
    assert values == {"Red": True, "Green": True, "Blue": True, "Yellow": False}
    assert chosen(found["Restricted_Picklist__c"], "restrictedPicklist") == [True]
    assert [value["label"] for value in found["Multi_Picklist__c"]["picklistValues"]] == [
        *("North", "East", "South", "West")
    ]


def test_references_name_their_objects(rest: RestClient) -> None:
    found = fields(rest, "Field_Types__c")
    reference = ("referenceTo", "relationshipName", "polymorphicForeignKey", "length")

    assert chosen(found["Account__c"], *reference) == [["Account"], "Account__r", False, 18]
    assert chosen(found["OwnerId"], *reference) == [["Group", "User"], "Owner", True, 18]
    assert chosen(found["Employee__c"], "createable", "updateable", "cascadeDelete") == [
        *(True, False, True)
    ]
    assert chosen(fields(rest, "Account")["OwnerId"], *reference)[:3] == [["User"], "Owner", False]


def test_compound_fields_have_components(rest: RestClient) -> None:
    found = {**fields(rest, "Field_Types__c"), **fields(rest, "Account")}

    def components(compound: str) -> list[str]:
        return [name for name, field in found.items() if field["compoundFieldName"] == compound]

    assert components("Place__c") == ["Place__Latitude__s", "Place__Longitude__s"]
    assert {"Site__City__s", "Site__PostalCode__s"} < set(components("Site__c"))
    assert {"BillingStreet", "BillingCity", "BillingLatitude"} < set(components("BillingAddress"))
    compound = ("createable", "updateable", "filterable")
    assert chosen(found["Place__c"], *compound) == [False, False, False]
    assert chosen(found["BillingCity"], *compound) == [True, True, True]
    contact = fields(rest, "Contact")
    assert chosen(contact["LastName"], "compoundFieldName", "nillable") == ["Name", False]


def test_fields_say_what_may_be_written(rest: RestClient) -> None:
    found = {**fields(rest, "Field_Types__c"), "Number": fields(rest, "Employee__c")["Name"]}
    written = ("calculated", "autoNumber", "createable", "updateable", "nillable")

    assert chosen(found["Formula_Number__c"], *written) == [True, False, False, False, True]
    assert chosen(found["Auto_Number__c"], *written) == [False, True, False, False, True]
    assert chosen(found["Number"], *written)[:4] == [False, True, False, False]
    assert chosen(found["Checkbox__c"], *written) == [False, False, True, True, False]
    assert found["Formula_Number__c"]["calculatedFormula"] == "Number__c * 2"


def test_external_ids_are_unique(rest: RestClient) -> None:
    found = fields(rest, "Field_Types__c")
    keys = ("externalId", "unique", "idLookup", "caseSensitive", "nameField")

    assert chosen(found["External_Id__c"], *keys) == [True, True, True, False, False]
    assert chosen(found["Case_Sensitive__c"], *keys) == [True, True, True, True, False]
    assert chosen(found["Name"], *keys) == [False, False, False, False, True]


def test_an_object_says_what_can_be_done_with_it(rest: RestClient) -> None:
    account = rest.send("GET", "sobjects/Account/describe").json()
    user = rest.send("GET", "sobjects/User/describe").json()
    abilities = ("keyPrefix", "queryable", "replicateable", "undeletable", "mergeable")

    assert chosen(account, *abilities) == ["001", True, True, True, True]
    assert chosen(user, *abilities) == ["005", True, True, False, False]
    children = {
        (child["childSObject"], child["field"]): child["cascadeDelete"]
        for child in account["childRelationships"]
    }
    assert children["Contact", "AccountId"] is True
    assert children["Field_Types__c", "Account__c"] is False


def test_objects_are_listed_without_their_fields(rest: RestClient) -> None:
    listed = rest.send("GET", "sobjects").json()["sobjects"]

    [account] = [one for one in listed if one["name"] == "Account"]
    assert not {"fields", "childRelationships", "recordTypeInfos"} & account.keys()


def test_a_field_that_is_added_is_described(shared_org: SimulatorProcess, rest: RestClient) -> None:
    shared_org.entity("Invoice__c", fields={"Total__c": "currency", "Tags__c": "multipicklist"})
    shared_org.entity("Case", fields={"Due__c": "date"})

    invoice, case = fields(rest, "Invoice__c"), fields(rest, "Case")

    assert [invoice["Total__c"]["type"], invoice["Tags__c"]["type"]] == [
        "currency",
        "multipicklist",
    ]
    assert case["Due__c"]["type"] == "date"


def test_values_of_every_type_are_written_and_read(rest: RestClient) -> None:
    values = {
        "Multi_Picklist__c": "North;East",
        "Long__c": 9_007_199_254_740_993,
        "Place__Latitude__s": 47.07,
        "Place__Longitude__s": 15.44,
        "Site__City__s": "Graz",
        "Time__c": "14:30:00.000Z",
        "Date__c": "2026-01-31",
        "High_Scale__c": 0.12345678,
    }
    moment = {"Date_Time__c": "2026-01-31T10:00:00.000Z"}

    made = rest.send("POST", "sobjects/Field_Types__c", {**values, **moment}).json()
    record = rest.send("GET", f"sobjects/Field_Types__c/{made['id']}").json()

    assert {name: record[name] for name in values} == values
    assert record["Place__c"] == {"latitude": 47.07, "longitude": 15.44}
    assert record["Date_Time__c"] == "2026-01-31T10:00:00.000+0000"
    assert (record["Checkbox__c"], record["Text__c"]) == (False, None)


@pytest.mark.parametrize("path", ["sobjects/Opportunity/describe", "sobjects"])
def test_a_description_is_sent_again_only_if_it_has_changed(
    shared_org: SimulatorProcess, rest: RestClient, path: str
) -> None:
    def read(since: str) -> Any:
        url = f"{shared_org.url}/services/data/v61.0/{path}"
        headers = {"Authorization": f"Bearer {rest.token}", "If-Modified-Since": since}
        return shared_org.http.get(url, headers=headers, timeout=PATIENCE_SECONDS)

    first = read(formatdate(0, usegmt=True))
    known = read(first.headers["Last-Modified"])
    shared_org.entity(f"New_{len(path)}__c")
    shared_org.entity("Opportunity", fields={f"New_{len(path)}__c": "string"})
    changed = read(first.headers["Last-Modified"])

    assert (first.status_code, known.status_code, known.content) == (200, 304, b"")
    assert known.headers["Last-Modified"] == first.headers["Last-Modified"]
    assert changed.status_code == 200
    assert changed.json() != first.json()
