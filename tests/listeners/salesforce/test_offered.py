"""The channels that an org offers are read from its answers."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from listeners.salesforce.channel_members import CHANNELS_QUERY, MEMBERS_QUERY
from listeners.salesforce.channels_offered import Group, offered
from listeners.salesforce.rest.client import RestClient
from tests.listeners.salesforce.scripted import ScriptedOrg, plain_http

BASE = "/services/data/v67.0"
CHANNELS = [
    {"Id": "0YL1", "DeveloperName": "Sales", "NamespacePrefix": "acme", "MasterLabel": "Sales"},
    {"Id": "0YL2", "DeveloperName": "Empty", "NamespacePrefix": None, "MasterLabel": ""},
]
MEMBERS = [
    ("ChangeEvents", "AccountChangeEvent", "ChangeEvents_AccountChangeEvent"),
    ("ChangeEvents", "CaseChangeEvent", "ChangeEvents_CaseChangeEvent"),  # of an unseen object
    ("ChangeEvents", "01I000000000001AAA", "ChangeEvents_Pay_Roll_ChangeEvent"),
    ("ChangeEvents", "01I000000000002AAA", "ChangeEvents_Unseen_ChangeEvent"),
    ("0YL1", "01I000000000003AAA", "acme_Sales_chn_acme_Deal_ChangeEvent"),
    ("0YL1", "01I000000000004AAA", "acme_Sales_chn_Order_e"),  # a platform event
]
OBJECTS = [
    {"name": "Account", "label": "Account"},
    {"name": "AccountChangeEvent", "label": "Change Event"},
    {"name": "Pay_Roll__c", "label": "Pay roll"},
    {"name": "Pay_Roll__ChangeEvent", "label": "Change Event"},
    {"name": "Roll__ChangeEvent", "label": "Change Event"},
    {"name": "acme__Deal__ChangeEvent", "label": "Change Event"},
    {"name": "Lead", "label": "Lead"},
    {"name": "LeadChangeEvent", "label": "Change Event"},
    {"name": "odd_name_ChangeEvent", "label": "no channel of ours"},
]


def metadata_of(number: int) -> str:
    return f"SELECT Metadata FROM PlatformEventChannelMember WHERE Id = '0v8{number}'"


def rows(found: Any) -> dict[str, Any]:
    return {"done": True, "records": found}


def test_custom_objects_are_found_by_the_names_of_their_members(org: ScriptedOrg) -> None:
    names = ("EventChannel", "SelectedEntity", "DeveloperName")
    members = [
        {"Id": f"0v8{n}", **dict(zip(names, member, strict=True))}
        for n, member in enumerate(MEMBERS)
    ]
    org.tell(f"{BASE}/sobjects/", {"sobjects": OBJECTS})
    for soql, found in (
        (CHANNELS_QUERY, CHANNELS),
        (MEMBERS_QUERY, members),
        (metadata_of(3), [{"Metadata": {"selectedEntity": "Unseen__ChangeEvent"}}]),
        (metadata_of(5), [{"Metadata": {"selectedEntity": "Order__e"}}]),
    ):
        org.tell(f"{BASE}/tooling/query?q={quote(soql, safe='')}", rows(found))

    offer = offered(RestClient(org.tokens(), "67.0", (60, 60), http=plain_http()))

    assert [(one.group, one.channel, one.label) for one in offer.channels] == [
        (
            Group.ALL,
            "/data/ChangeEvents",
            "All selected entities: Account, Case, Pay roll, Unseen__c",
        ),
        (Group.CUSTOM, "/data/Empty__chn", "no entity"),
        (Group.CUSTOM, "/data/acme__Sales__chn", "Sales: acme__Deal__c"),
        (Group.SELECTED, "/data/AccountChangeEvent", "Account"),
        (Group.SELECTED, "/data/acme__Deal__ChangeEvent", "acme__Deal__c"),
        (Group.SELECTED, "/data/CaseChangeEvent", "Case"),
        (Group.SELECTED, "/data/Pay_Roll__ChangeEvent", "Pay roll"),
        (Group.SELECTED, "/data/Unseen__ChangeEvent", "Unseen__c"),
        (Group.NOT_SELECTED, "/data/LeadChangeEvent", "Lead"),
        (Group.NOT_SELECTED, "/data/Roll__ChangeEvent", "Roll__c"),
    ]
