"""Known REST paths are served, and others get Salesforce's errors."""

import pytest

from tests.simulator.process import SimulatorProcess
from tests.simulator.rest_client import RestClient

pytestmark = pytest.mark.anywhere

NOT_FOUND = [{"message": "The requested resource does not exist", "errorCode": "NOT_FOUND"}]


@pytest.fixture(scope="module")
def rest(shared_org: SimulatorProcess) -> RestClient:
    return RestClient(shared_org)


@pytest.mark.parametrize(
    "path",
    [
        "/services/data/v61.0/nothing",
        "/services/data/v61.0/composite/nothing",
        "/services/data/v61.0/sobjects/Account/a/b/c",
        "/services/data/v61/limits",
        "/services/data/v99.0/limits",
        "/services/data/nothing",
        "/services/apexrest/nothing",
    ],
)
def test_unknown_paths_answer_in_json(rest: RestClient, path: str) -> None:
    for method in ("GET", "POST", "PUT"):
        response = rest.send(method, path)

        assert (response.status_code, response.json()) == (404, NOT_FOUND)


@pytest.mark.parametrize("path", ["", "/describe", "/updated?start=x", "/001000000000001AAA"])
def test_unknown_objects_answer_alike(rest: RestClient, path: str) -> None:
    response = rest.send("GET", f"sobjects/Lead{path}")

    assert (response.status_code, response.json()) == (404, NOT_FOUND)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "limits", "GET"),
        ("PUT", "query", "GET"),
        ("GET", "composite/batch", "POST"),
        ("GET", "composite/sobjects", "POST,PATCH,DELETE"),
        ("PUT", "sobjects/Account", "GET,POST"),
        ("POST", "/services/data", "GET,HEAD"),
    ],
)
def test_a_method_that_a_resource_does_not_have(
    rest: RestClient, method: str, path: str, allowed: str
) -> None:
    response = rest.send(method, path)

    [error] = response.json()
    assert (response.status_code, error["errorCode"]) == (405, "METHOD_NOT_ALLOWED")
    assert error["message"] == f"HTTP Method '{method}' not allowed. Allowed are {allowed}"
    assert response.headers["Allow"] == allowed


def test_every_supported_version_is_listed(rest: RestClient) -> None:
    versions = rest.send("GET", "/services/data", token="").json()

    labels = {version["version"]: version["label"] for version in versions}
    assert labels["60.0"] == "Spring '24"
    assert (labels["61.0"], labels["62.0"], labels["63.0"]) == (
        "Summer '24",
        "Winter '25",
        "Spring '25",
    )
    assert (labels["59.0"], labels["66.0"]) == ("Winter '24", "Spring '26")
    assert rest.send("GET", versions[0]["url"] + "/limits").status_code == 200
    assert rest.send("GET", versions[-1]["url"] + "/limits").status_code == 200


def test_a_version_lists_its_resources_and_the_identity(
    shared_org: SimulatorProcess, rest: RestClient
) -> None:
    named = rest.send("GET", "").json()

    identity = named.pop("identity")
    assert identity.startswith(f"{shared_org.url}/id/{shared_org.credentials['org_id']}/005")
    assert rest.send("GET", identity.removeprefix(shared_org.url)).status_code == 200
    assert {"sobjects", "query", "limits", "composite"} <= named.keys()
    assert rest.send("GET", named["limits"]).status_code == 200


def test_an_object_is_described_in_short(rest: RestClient) -> None:
    answer = rest.send("GET", "sobjects/account").json()

    assert answer["objectDescribe"]["name"] == "Account"
    assert "fields" not in answer["objectDescribe"]
    assert answer["recentItems"] == []


def test_a_description_has_the_properties_by_which_clients_map_fields(rest: RestClient) -> None:
    described = rest.send("GET", "sobjects/Contact/describe").json()

    fields = {field["name"]: field for field in described["fields"]}
    assert (fields["AccountId"]["referenceTo"], fields["AccountId"]["relationshipName"]) == (
        ["Account"],
        "Account",
    )
    assert fields["MailingCity"]["compoundFieldName"] == "MailingAddress"
    assert (fields["External_Id__c"]["externalId"], fields["External_Id__c"]["unique"]) == (
        True,
        True,
    )
    assert (fields["Id"]["soapType"], fields["Birthdate"]["soapType"]) == ("tns:ID", "xsd:date")
    assert described["urls"]["sobject"] == "/services/data/v61.0/sobjects/Contact"


@pytest.mark.parametrize(
    ("query", "row"),
    [
        (
            "SELECT Name, InstanceName, IsSandbox, TrialExpirationDate, NamespacePrefix, "
            "OrganizationType FROM Organization",
            {
                "Name": "Simulator",
                "InstanceName": "SIM1",
                "IsSandbox": False,
                "TrialExpirationDate": None,
                "NamespacePrefix": None,
                "OrganizationType": "Developer Edition",
            },
        ),
        (
            "SELECT Username, IsActive FROM User WHERE Username = 'integration@simulator.example'",
            {"Username": "integration@simulator.example", "IsActive": True},
        ),
    ],
)
def test_the_organization_and_its_user_can_be_queried(
    rest: RestClient, query: str, row: dict[str, object]
) -> None:
    [found] = rest.send("GET", "query", q=query).json()["records"]

    assert found.pop("attributes")["type"] in query
    assert found == row


def test_the_user_can_be_read_but_not_written(
    shared_org: SimulatorProcess, rest: RestClient
) -> None:
    user_id = rest.send("GET", "/services/oauth2/userinfo").json()["user_id"]
    path = f"sobjects/User/{user_id}"

    assert rest.send("GET", path).json()["Username"] == shared_org.credentials["username"]
    refused = rest.send("PATCH", path, {"Alias": "x"})
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (403, "INSUFFICIENT_ACCESS")


@pytest.fixture
def sales(shared_org: SimulatorProcess) -> str:
    return shared_org.channel("Sales__chn", "Account")


def test_tooling_returns_full_names_and_metadata_of_one_row(rest: RestClient, sales: str) -> None:
    one = rest.send(
        "GET",
        "tooling/query",
        q="SELECT Id, FullName, Metadata FROM PlatformEventChannel WHERE DeveloperName = 'Sales'",
    ).json()["records"][0]
    many = rest.send("GET", "tooling/query", q="SELECT FullName FROM PlatformEventChannelMember")
    row = rest.send("GET", f"tooling/sobjects/PlatformEventChannel/{one['Id']}").json()

    assert one["FullName"] == sales.removeprefix("/data/")
    assert one["Metadata"] == {"channelType": "data", "label": "Sales"}
    assert many.json()[0]["errorCode"] == "MALFORMED_QUERY"
    assert "no more than one row" in many.json()[0]["message"]
    assert row["FullName"] == one["FullName"]


def test_tooling_has_the_managed_subscriptions(
    shared_org: SimulatorProcess, rest: RestClient
) -> None:
    made = shared_org.managed_subscription("Orders", "/data/ChangeEvents", replay="earliest")
    query = "SELECT Id, DeveloperName, Metadata FROM ManagedEventSubscription WHERE {} LIMIT 1"

    by_name = rest.send("GET", "tooling/query", q=query.format("DeveloperName='Orders'")).json()
    by_id = rest.send(
        "GET", "tooling/query", q=query.format(f"Id='{made['subscription_id']}'")
    ).json()
    shared_org.managed_subscription("Orders", state="stopped")
    stopped = rest.send("GET", "tooling/query", q=query.format("DeveloperName='Orders'")).json()

    assert by_name == by_id
    [row] = by_name["records"]
    assert (row["Id"], row["DeveloperName"]) == (made["subscription_id"], "Orders")
    assert row["Metadata"]["topicName"] == "/data/ChangeEvents"
    assert (row["Metadata"]["state"], row["Metadata"]["defaultReplay"]) == ("RUN", "EARLIEST")
    assert stopped["records"][0]["Metadata"]["state"] == "STOP"


def test_change_events_are_described(shared_org: SimulatorProcess) -> None:
    rest = RestClient(shared_org)

    described = rest.send("GET", "sobjects/AccountChangeEvent/describe").json()

    names = {field["name"] for field in described["fields"]}
    assert {"ChangeEventHeader", "Name", "BillingAddress", "BillingCity"} <= names
    assert not names & {"Id", "IsDeleted", "SystemModstamp"}
    assert rest.send("GET", "sobjects/NothingChangeEvent/describe").status_code == 404
