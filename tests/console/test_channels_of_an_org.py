"""A listener's form offers the channels of the connection's org."""

import pytest
from django.core.cache import cache

from tests.sample_data import connection_to
from tests.simulator.process import SimulatorProcess

CHANNELS = "/admin/listeners/listener/channels/"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def org():
    with SimulatorProcess("--channel", "Sales_Team__chn=Account,Employee__c") as simulator:
        simulator.entity("Tool__c", selected=False)
        yield simulator


@pytest.fixture
def connection(org):
    cache.clear()
    yield connection_to(org.url, org.credentials)
    org.access(api_enabled=True, view_setup=True)


def offered(client, connection) -> dict[str, object]:
    response = client.post(CHANNELS, {"connection": connection.pk})
    assert response.status_code == 200
    return response.json()


def by_heading(told) -> dict[str, list[str]]:
    return {
        group["label"]: [one["channel"] for one in group["channels"]] for group in told["groups"]
    }


def test_what_is_selected_comes_first_and_custom_channels_are_there(admin_client, connection):
    told = offered(admin_client, connection)

    assert by_heading(told) == {
        "Several entities": ["/data/ChangeEvents"],
        "Custom channels": ["/data/Sales_Team__chn"],
        "Selected for Change Data Capture": [
            "/data/AccountChangeEvent",
            "/data/ContactChangeEvent",
            "/data/Employee__ChangeEvent",
            "/data/OpportunityChangeEvent",
        ],
        "Not selected in Setup: no changes are published yet": [
            "/data/CaseChangeEvent",
            "/data/Field_Types__ChangeEvent",
            "/data/Tool__ChangeEvent",
        ],
    }
    labels = [group["channels"][0]["label"] for group in told["groups"]]
    assert labels[:2] == [
        "All selected entities: Account, Contact, Employee, Opportunity",
        "Sales Team: Account, Employee",
    ]
    assert (told["notes"], told["problem"]) == ([], "")


def test_without_view_setup_all_visible_entities_are_offered(admin_client, org, connection):
    org.access(view_setup=False)

    told = offered(admin_client, connection)

    assert list(by_heading(told)) == ["Several entities", "Single entities"]
    assert len(by_heading(told)["Single entities"]) == 7
    assert "requires the permission View Setup and Configuration (INSUFFICIENT" in told["notes"][0]


def test_an_org_that_refuses_is_said_and_not_asked_again_at_once(admin_client, org, connection):
    org.access(api_enabled=False)

    told = offered(admin_client, connection)
    before = len(org.api_requests())
    again = offered(admin_client, connection)

    assert told["groups"] == []
    assert "API_DISABLED_FOR_ORG" in told["problem"]
    assert again == told
    assert len(org.api_requests()) == before


def test_a_refused_login_is_not_tried_as_often_as_it_is_asked_for(
    admin_client, org, connection, settings
):
    settings.CDC_LOGIN_WAITS = (600.0, 600.0)
    assert offered(admin_client, connection)["problem"] == ""
    connection.client_secret = "wrong"
    connection.save()
    before = len(org.token_requests())

    for _ in range(3):
        assert "login refused" in offered(admin_client, connection)["problem"]
    cache.clear()  # as in another process
    assert "refused" in offered(admin_client, connection)["problem"]

    assert len(org.token_requests()) == before + 1


def test_an_org_is_asked_once_in_a_while(admin_client, org, connection):
    offered(admin_client, connection)
    before = len(org.api_requests())

    assert offered(admin_client, connection)["groups"]

    assert len(org.api_requests()) == before


def test_a_user_who_may_not_add_listeners_gets_no_channels(as_a, admin_client, connection):
    assert as_a("CDC Operator").post(CHANNELS, {"connection": connection.pk}).status_code == 403
    assert admin_client.get(CHANNELS).status_code == 405
    assert admin_client.post(CHANNELS, {"connection": "x"}).status_code == 404
