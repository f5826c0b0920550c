"""Fields can be hidden, added and converted while the org runs."""

from typing import Any

import pytest

from tests.simulator.process import SimulatorProcess
from tests.simulator.rest_client import RestClient
from tests.simulator.wire_client import WireClient

pytestmark = pytest.mark.anywhere


@pytest.fixture
def rest(org: SimulatorProcess) -> RestClient:
    return RestClient(org)


def described(rest: RestClient, entity: str) -> dict[str, str]:
    fields = rest.send("GET", f"sobjects/{entity}/describe").json()["fields"]
    return {field["name"]: field["type"] for field in fields}


def test_a_hidden_field_is_nowhere_to_be_seen(
    org: SimulatorProcess, rest: RestClient, client: WireClient
) -> None:
    [record_id] = org.create("Account", Name="Acme", Phone="1")
    org.entity("Account", hidden=["Phone", "BillingAddress"])

    update = org.update("Account", record_id, Phone="2", Website="acme.example")

    assert not {"Phone", "BillingAddress", "BillingCity"} & described(rest, "Account").keys()
    assert "Phone" not in rest.send("GET", f"sobjects/Account/{record_id}").json()
    refused = rest.send("GET", "query", q="SELECT Phone FROM Account").json()
    assert refused[0]["errorCode"] == "INVALID_FIELD"
    [event] = update["events"]
    assert event["header"]["changedFields"] == ["Website", "LastModifiedDate"]
    assert "Phone" not in next(org.records("Account"))["fields"]

    org.entity("Account", hidden=[])

    assert rest.send("GET", f"sobjects/Account/{record_id}").json()["Phone"] == "2"


def test_a_new_field_is_described_and_gives_events_a_new_schema(
    org: SimulatorProcess, rest: RestClient
) -> None:
    [record_id] = org.create("Account", Name="Acme")
    org.entity("Account", fields={"Score__c": "int", "Parent__c": "reference"})

    org.update("Account", record_id, Score__c=3)

    fields = described(rest, "Account")
    assert (fields["Score__c"], fields["Parent__c"]) == ("int", "reference")
    assert rest.send("GET", f"sobjects/Account/{record_id}").json()["Score__c"] == 3
    assert rest.send("PATCH", f"sobjects/Account/{record_id}", {"Score__c": 4}).status_code == 204


@pytest.mark.parametrize(
    ("entity", "field", "kind", "value", "converted", "told"),
    [
        ("Account", "Phone", "double", "12", 12, None),
        ("Account", "Phone", "double", "many", None, None),
        ("Account", "Phone", "boolean", "true", True, ("UPDATE", "001*")),
        ("Contact", "Birthdate", "string", "2001-02-03", "2001-02-03", ("UPDATE", "003*")),
        ("Opportunity", "Amount", "string", 12, "12", None),
    ],
)
def test_a_converted_field(
    org: SimulatorProcess,
    rest: RestClient,
    entity: str,
    field: str,
    kind: str,
    value: Any,
    converted: Any,
    told: tuple[str, str] | None,
) -> None:
    [record_id] = org.create(entity, {"Name": "A", field: value})
    before = rest.send("GET", f"sobjects/{entity}/{record_id}").json()
    org.advance(10)

    answer = org.field_type(entity, field, kind)

    after = rest.send("GET", f"sobjects/{entity}/{record_id}").json()
    assert after[field] == converted
    assert after["SystemModstamp"] == before["SystemModstamp"]
    assert described(rest, entity)[field] == kind
    headers = [event["header"] for event in answer["events"]]
    expected = [told] if told else []
    assert [(one["changeType"], one["recordIds"][0]) for one in headers] == expected


def test_a_picklist_that_becomes_a_checkbox_is_a_gap(org: SimulatorProcess) -> None:
    org.entity("Account", fields={"Level__c": "picklist"})
    ids = org.create("Account", {"Name": "A", "Level__c": "yes"}, {"Name": "B"})

    [event] = org.field_type("Account", "Level__c", "boolean")["events"]
    levels = [record["fields"]["Level__c"] for record in org.records("Account")]

    assert event["header"]["changeType"] == "GAP_UPDATE"
    assert event["header"]["recordIds"] == ids
    assert levels == [True, False]


def test_a_new_checkbox_is_not_empty() -> None:
    with SimulatorProcess("--records", "Account=2") as org:
        org.create("Account", Name="C")
        org.entity("Account", fields={"Flag__c": "boolean"})

        assert [one["fields"]["Flag__c"] for one in org.records("Account")] == [False] * 3


def test_a_conversion_of_too_many_records_is_an_overflow() -> None:
    options = ("--overflow-after", "10", "--records", "Account=11")
    with SimulatorProcess(*options) as org:
        org.entity("Account", fields={"Level__c": "picklist"})

        [event] = org.field_type("Account", "Level__c", "boolean")["events"]

    assert event["header"]["changeType"] == "GAP_OVERFLOW"
