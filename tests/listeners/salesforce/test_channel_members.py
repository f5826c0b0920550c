"""Members of channels are recognized by the exact names of their entities."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from listeners.salesforce.channel_members import (
    CHANNELS_QUERY,
    MEMBERS_QUERY,
    ChannelMembers,
    coverage_of,
)
from listeners.salesforce.errors import RestRefused
from listeners.salesforce.rest.client import RestClient
from tests.listeners.salesforce.scripted import Reply, ScriptedOrg, of_json, plain_http

SALES = "/data/Sales__chn"
CHANNELS = [
    {"Id": "0YL1", "DeveloperName": "Sales", "NamespacePrefix": None, "MasterLabel": "Sales"},
]
ORDER_LINE = ("0YL1", "01I1", "Sales_chn_Order_Line_ChangeEvent", "Order_Line__ChangeEvent")


def tell(org: ScriptedOrg, version: str, soql: str, *replies: Reply | list[Any]) -> None:
    path = f"/services/data/v{version}/tooling/query?q={quote(soql, safe='')}"
    for reply in replies:
        org.tell(path, reply if isinstance(reply, Reply) else {"done": True, "records": reply})


def client(
    org: ScriptedOrg,
    *members: tuple[str, str, str, str | None],
    version: str = "67.0",
    answered_in: str = "67.0",
    filters: dict[str, str] | None = None,
) -> RestClient:
    """Return a client of an org with these members: channel, SelectedEntity, name, and the name of
    the entity in the metadata."""
    rows = [
        {
            "Id": f"0v8{number}",
            "EventChannel": channel,
            "SelectedEntity": selected,
            "DeveloperName": name,
            "FilterExpression": (filters or {}).get(name),
        }
        for number, (channel, selected, name, _) in enumerate(members)
    ]
    tell(org, answered_in, CHANNELS_QUERY, CHANNELS)
    tell(org, answered_in, MEMBERS_QUERY, rows)
    for number, (*_, event) in enumerate(members):
        soql = f"SELECT Metadata FROM PlatformEventChannelMember WHERE Id = '0v8{number}'"
        tell(org, answered_in, soql, [{"Metadata": {"selectedEntity": event}}])
    return RestClient(org.tokens(), version, (60, 60), http=plain_http())


def test_an_entity_whose_name_ends_another_ones_is_not_taken_for_it(org: ScriptedOrg) -> None:
    rest = client(org, ORDER_LINE)

    members = ChannelMembers(rest, SALES)

    assert members.coverage("Order_Line__c").is_carried is True
    assert members.coverage("Line__c").is_carried is False
    assert members.coverage("Line").is_carried is False


def test_a_mirror_is_not_offered_an_entity_whose_name_ends_another_ones(org: ScriptedOrg) -> None:
    assert coverage_of(client(org, ORDER_LINE), SALES, "Line__c").is_carried is False
    rest = client(org, ORDER_LINE)
    assert coverage_of(rest, "/data/Line__ChangeEvent", "Line__c").is_carried is False
    rest = client(org, ORDER_LINE)
    assert coverage_of(rest, "/data/Order_Line__ChangeEvent", "Order_Line__c").is_carried


def test_names_that_differ_only_in_underscores_are_told_apart(org: ScriptedOrg) -> None:
    """The member of acme__Deal__c has the same name as that of acme_Deal__c."""
    name = "Sales_chn_acme_Deal_ChangeEvent"
    rest = client(org, ("0YL1", "01I1", name, "acme__Deal__ChangeEvent"))

    members = ChannelMembers(rest, SALES)

    assert members.coverage("acme__Deal__c").is_carried is True
    assert members.coverage("acme_Deal__c").is_carried is False


def test_members_of_other_channels_do_not_count(org: ScriptedOrg) -> None:
    rest = client(
        org,
        ("ChangeEvents", "AccountChangeEvent", "ChangeEvents_AccountChangeEvent", None),
        ("0YL1", "ContactChangeEvent", "Sales_chn_ContactChangeEvent", None),
    )

    members = ChannelMembers(rest, SALES)

    assert members.coverage("Account").is_carried is False
    assert members.coverage("Contact").is_carried is True


def test_an_unrecognized_member_may_be_any_entity(org: ScriptedOrg) -> None:
    rest = client(
        org,
        ("0YL1", "ContactChangeEvent", "Sales_chn_ContactChangeEvent", None),
        ("0YL1", "SomethingNew", "Sales_chn_SomethingNew", "SomethingNew"),
    )

    members = ChannelMembers(rest, SALES)

    assert members.coverage("Contact").is_carried is True
    found = members.coverage("Account")
    assert found.is_carried is None
    assert "Sales_chn_SomethingNew" in found.unknown


def test_a_caller_is_asked_before_each_request_for_one_member(org: ScriptedOrg) -> None:
    rest = client(
        org,
        ("0YL1", "ContactChangeEvent", "Sales_chn_ContactChangeEvent", None),
        ("0YL1", "01I1", "Sales_chn_A_ChangeEvent", "A__ChangeEvent"),
        ("0YL1", "01I2", "Sales_chn_B_ChangeEvent", "B__ChangeEvent"),
    )
    requests: list[int] = []
    members = ChannelMembers(rest, SALES, lambda: requests.append(1))

    members.coverage("Contact")
    assert not requests
    members.coverage("Account")
    assert len(requests) == 2


def test_a_platform_event_is_no_entity(org: ScriptedOrg) -> None:
    rest = client(
        org,
        ("0YL1", "ContactChangeEvent", "Sales_chn_ContactChangeEvent", None),
        ("0YL1", "01I1", "Sales_chn_Order_e", "Order__e"),
    )

    assert ChannelMembers(rest, SALES).coverage("Order__c").is_carried is False


@pytest.mark.parametrize("version", ["37.0", "55.0"])
def test_filters_are_seen_whatever_api_version_the_connection_uses(
    org: ScriptedOrg, version: str
) -> None:
    name = "Sales_chn_AccountChangeEvent"
    rest = client(
        org,
        ("0YL1", "AccountChangeEvent", name, None),
        version=version,
        answered_in="56.0",
        filters={name: "Industry = 'Energy'"},
    )

    assert ChannelMembers(rest, SALES).coverage("Account").filter == "Industry = 'Energy'"


def test_a_channel_that_is_not_listed_may_carry_any_entity(org: ScriptedOrg) -> None:
    rest = client(org, ORDER_LINE)

    assert ChannelMembers(rest, "/data/Other__chn").coverage("Account").is_carried is None


def test_the_channel_of_one_entity_carries_that_one_without_a_look_into_the_setup(
    org: ScriptedOrg,
) -> None:
    members = ChannelMembers(RestClient(org.tokens()), "/data/Line__ChangeEvent")

    assert members.coverage("Line__c").is_carried is True
    assert members.coverage("Order_Line__c").is_carried is False
    assert not org.calls


def test_a_user_without_the_permission_cannot_see_it(org: ScriptedOrg) -> None:
    refusal = [{"errorCode": "INSUFFICIENT_ACCESS", "message": "no"}]
    tell(org, "67.0", CHANNELS_QUERY, of_json(refusal, status=403))
    rest = RestClient(org.tokens(), http=plain_http())

    found = ChannelMembers(rest, SALES).coverage("Account")

    assert found.is_carried is None
    assert "View Setup and Configuration (INSUFFICIENT_ACCESS)" in found.unknown


def test_a_used_up_limit_is_not_taken_for_a_missing_permission(org: ScriptedOrg) -> None:
    limit = [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "no"}]
    tell(org, "67.0", CHANNELS_QUERY, of_json(limit, status=403))
    rest = RestClient(org.tokens(), http=plain_http())

    with pytest.raises(RestRefused):
        ChannelMembers(rest, SALES).coverage("Account")
