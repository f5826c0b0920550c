"""Queries of the Tooling API list custom channels and selected entities."""

import pytest

pytestmark = pytest.mark.anywhere

QUERY = "/services/data/v67.0/tooling/query"
CHANNELS = "SELECT DeveloperName, ChannelType FROM PlatformEventChannel"


def answer(client, soql: str):
    return client.get(QUERY, q=soql)


@pytest.fixture
def client(shared_org, shared_client):
    shared_client.log_in()
    yield shared_client
    shared_org.access(api_enabled=True, view_setup=True)


def test_the_members_of_the_standard_channel_name_it_and_custom_objects_by_id(client):
    soql = "SELECT DeveloperName, SelectedEntity FROM PlatformEventChannelMember "
    rows = answer(client, f"{soql} WHERE EventChannel = 'ChangeEvents'").json()["records"]
    told = {row["DeveloperName"]: row["SelectedEntity"] for row in rows}
    assert told["ChangeEvents_AccountChangeEvent"] == "AccountChangeEvent"
    assert told["ChangeEvents_Employee_ChangeEvent"].startswith("01I")
    assert "ChangeEvents_CaseChangeEvent" not in told


def test_a_custom_channel_is_named_without_its_suffix_and_by_its_id(shared_org, client):
    shared_org.channel("Sales_Team__chn", "Account")
    [row] = answer(client, f"{CHANNELS} WHERE DeveloperName = 'sales_team'").json()["records"]
    assert (row["DeveloperName"], row["ChannelType"]) == ("Sales_Team", "data")
    soql = "SELECT EventChannel FROM PlatformEventChannelMember"
    [row] = answer(
        client, f"{soql} WHERE DeveloperName = 'Sales_Team_chn_AccountChangeEvent'"
    ).json()["records"]
    assert row["EventChannel"].startswith("0YL")


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT Id FROM Account", "INVALID_TYPE"),
        ("SELECT Nope FROM PlatformEventChannel", "INVALID_FIELD"),
        ("SELECT", "MALFORMED_QUERY"),
    ],
)
def test_wrong_queries_are_refused(client, soql, code):
    refused = answer(client, soql)
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (400, code)


def test_each_permission_is_needed(shared_org, client):
    shared_org.access(view_setup=False)
    assert answer(client, CHANNELS).status_code == 403
    assert client.get("/services/data/v67.0/limits").status_code == 200
    shared_org.access(api_enabled=False)
    refused = client.get("/services/data/v67.0/limits")
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (403, "API_DISABLED_FOR_ORG")


def test_each_visible_entity_has_a_change_event_in_the_list_of_objects(client):
    listed = client.get("/services/data/v67.0/sobjects").json()["sobjects"]
    parents = {one["name"]: one.get("associateParentEntity") for one in listed}
    assert parents["CaseChangeEvent"] == "Case"
    assert parents["Employee__ChangeEvent"] == "Employee__c"


def test_a_members_filter_is_known_since_version_56(shared_org, client):
    shared_org.channel("Filtered__chn", "Account", filters={"Account": "Industry = 'Energy'"})
    soql = (
        "SELECT FilterExpression FROM PlatformEventChannelMember "
        "WHERE DeveloperName = 'Filtered_chn_AccountChangeEvent'"
    )

    [row] = client.get(QUERY.replace("67", "56"), q=soql).json()["records"]
    refused = client.get(QUERY.replace("67", "55"), q=soql)

    assert row["FilterExpression"] == "Industry = 'Energy'"
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (400, "INVALID_FIELD")
