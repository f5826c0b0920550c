"""The fields that an entity's change events do not carry are found by Salesforce's descriptions."""

from typing import Any

from listeners.salesforce.rest.client import RestClient
from tests.listeners.salesforce.scripted import ScriptedOrg, of_json, plain_http

SOBJECTS = "/services/data/v67.0/sobjects"


def client(org: ScriptedOrg) -> RestClient:
    return RestClient(org.tokens(), "67.0", (60, 60), http=plain_http())


def field(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "string", "calculated": False, **more}


CONTACT = {
    "fields": [
        field("Id"),
        field("Name"),
        field("FirstName", compoundFieldName="Name"),
        field("MailingCity", compoundFieldName="MailingAddress"),
        field("MailingAddress", type="address"),
        field("OtherAddress", type="address"),
        field("Email"),
        field("IsEmailBounced", type="boolean"),
        field("Formula__c", calculated=True),
        field("Rollup__c", calculated=True),
        field("Secret__c", type="encryptedstring"),
        field("LastModifiedDate", type="datetime"),
    ]
}


def test_fields_that_the_change_event_does_not_have(org: ScriptedOrg) -> None:
    names = ("Name", "FirstName", "MailingCity", "OtherAddress", "Email", "Rollup__c", "Secret__c")
    event = {"fields": [field(name) for name in (*names, "LastModifiedDate", "ReplayId")]}
    org.tell(f"{SOBJECTS}/Contact/describe", of_json(CONTACT))
    org.tell(f"{SOBJECTS}/ContactChangeEvent/describe", of_json(event))

    uncarried = client(org).uncarried_fields("Contact")

    assert uncarried == {"Id", "IsEmailBounced", "Formula__c", "Rollup__c", "Secret__c"}


def test_roll_up_summaries_may_count_as_carried_unless_the_event_lacks_them(
    org: ScriptedOrg,
) -> None:
    fields = [
        field("Sum__c", calculated=True, calculatedFormula=None),
        field("Lost__c", calculated=True, calculatedFormula=None),
        field("Formula__c", calculated=True, calculatedFormula="1"),
        field("LastModifiedDate", type="datetime"),
    ]
    event = {"fields": [field(name) for name in ("Sum__c", "Formula__c", "LastModifiedDate")]}
    org.tell(f"{SOBJECTS}/Contact/describe", of_json({"fields": fields}))
    org.tell(f"{SOBJECTS}/ContactChangeEvent/describe", of_json(event))

    assert client(org).uncarried_fields("Contact", rollups=False) == {"Lost__c", "Formula__c"}


def test_an_org_that_does_not_describe_the_event(org: ScriptedOrg) -> None:
    missing = [{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}]
    org.tell(f"{SOBJECTS}/Custom__c/describe", of_json(CONTACT))
    org.tell(f"{SOBJECTS}/Custom__ChangeEvent/describe", of_json(missing, 404))

    assert client(org).uncarried_fields("Custom__c") == {"Formula__c", "Rollup__c", "Secret__c"}


def test_a_description_of_the_event_without_the_fields_of_every_event_is_not_believed(
    org: ScriptedOrg,
) -> None:
    org.tell(f"{SOBJECTS}/Contact/describe", of_json(CONTACT))
    org.tell(f"{SOBJECTS}/ContactChangeEvent/describe", of_json({"fields": []}))

    assert client(org).uncarried_fields("Contact") == {"Formula__c", "Rollup__c", "Secret__c"}
