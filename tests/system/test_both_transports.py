"""The same changes received over CometD and over the Pub/Sub API give the same audit log."""

from typing import Any

import pytest
from django.db.models import Q

from audit.models import AuditLogEntry, Quarantined
from handlers.models import Delivery
from handlers.sdk.events import EventData
from listeners.models import Position
from tests.sample_data import listener_of
from tests.servers import wait_for
from tests.simulator.process import SimulatorProcess

CHANNELS = ("/data/ChangeEvents", "/data/Sales__chn")
#: Columns that differ between listeners, and those that only the Pub/Sub API fills.
OWN = {"id", "listener", "replay_id", "received_at", "nulled_fields", "diff_fields"}
COLUMNS = [f.name for f in AuditLogEntry._meta.concrete_fields if f.name not in OWN]
ADDRESS = {
    "Street": "1 Rue",
    "City": "Paris",
    "Country": "FR",
    "Latitude": 48.85,
    "Longitude": 2.25,
}


@pytest.fixture
def simulator():
    options = ("--connect-timeout", "2", "--grpc-keep-alive", "1", "--seed", "1")
    with SimulatorProcess(*options, grpc=True) as org:
        org.channel("Sales__chn", "Contact", "Employee__c")
        yield org


def test_one_burst_on_both_transports_gives_the_same_entries(
    processes, simulator, transactional_db
):
    pairs = [
        (
            listener_of(simulator, channel=channel),
            listener_of(
                simulator,
                channel=channel,
                transport="pubsub",
                pubsub_endpoint=simulator.grpc_endpoint,
            ),
        )
        for channel in CHANNELS
    ]
    publish_all_kinds(simulator)
    [last] = simulator.create("Contact", LastName="Last")  # on both channels

    listener = processes.listener()

    ends = AuditLogEntry.objects.filter(record_id=last)
    wait_for(lambda: ends.count() == 2 * len(pairs), what="the last change of each listener")
    assert listener.terminate() == 0, listener.output
    kinds = AuditLogEntry.objects.values_list("change_type", flat=True)
    assert set(kinds) == {
        *("CREATE", "UPDATE", "DELETE", "UNDELETE"),
        *("GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE", "GAP_OVERFLOW"),
    }
    assert not Quarantined.objects.exists()
    for cometd, pubsub in pairs:
        assert_same(entries_of(cometd), entries_of(pubsub))
        assert lists_of(cometd) == lists_of(pubsub)
        assert deliveries_of(cometd) == deliveries_of(pubsub) > 0
        assert_same_places(cometd, pubsub)
    assert_has_what_is_hard_to_tell(entries_of(pairs[0][1]))
    assert_only_pubsub_sends_both_lists(*pairs[0])


def publish_all_kinds(org) -> None:
    acme, other = org.create(
        "Account",
        {"Name": "Acme", "BillingAddress": ADDRESS, "AnnualRevenue": 1000000, "Phone": None},
        {"Name": "Ünïcode 漢字 🙂", "NumberOfEmployees": 20, "Description": _lines(200)},
    )
    [person] = org.create(
        "Contact",
        Name={"Salutation": "Ms.", "FirstName": "Mei", "LastName": "Ito"},
        Birthdate="1971-02-28",
        Email="mei@example.com",
    )
    org.update("Account", acme, BillingAddress={"Street": None, "City": "Lyon"}, Phone="1")
    org.update("Account", acme, BillingAddress={"City": None}, Phone=None, AnnualRevenue=0.5)
    org.update("Account", acme, BillingAddress=dict.fromkeys(ADDRESS))
    org.update("Contact", person, Name={"Salutation": None, "FirstName": "May"}, Birthdate=None)
    text = _lines(200).replace("line 7", "line seven")
    org.change(
        {
            "op": "update",
            "entity": "Account",
            "record_ids": [other],
            "fields": {"Description": text, "Website": "https://example.com"},
            "diff_fields": ["Description"],
        }
    )
    employees = org.create("Employee__c", *[{"First_Name__c": f"E{n}"} for n in range(20)])
    org.update("Employee__c", employees, Department__c="R&D", Tenure__c=12)
    org.update("Employee__c", employees[:3], Brand_New__c=True)
    org.update("Employee__c", employees[3], Tenure__c=2.25, Brand_New__c=False)
    org.burst(30, mix={"update_split": 1}, entities={"Account": 1, "Contact": 1}, quiet=True)
    org.entity("Invoice__c")
    org.create("Invoice__c", Total__c=12.5, Paid__c=True, Due__c="2026-12-31")
    org.create(
        "Opportunity",
        Name="Big",
        StageName="New",
        CloseDate="2027-01-31",
        Amount=99.9,
        Probability=50,
    )
    _delete_and_lose(org, acme, other, person, employees)


def _delete_and_lose(org, acme, other, person, employees) -> None:
    org.delete("Account", acme)
    org.undelete("Account", acme)
    org.delete("Employee__c", employees[:5])
    org.change(
        {"op": "update", "entity": "Contact", "record_ids": [person], "fields": {"Title": "Dr."}},
        {"op": "update", "entity": "Account", "record_ids": [other], "fields": {"Type": "Partner"}},
        api="bulkapi",
        client="erp-sync",
    )
    for kind in ("GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE"):
        org.gap(kind, "Contact", [person, "003000000000009AAA"])
    org.overflow("Account")
    org.wildcard("Contact")
    org.burst(150, quiet=True)


def _lines(count: int) -> str:
    return "\n".join(f"line {number}" for number in range(count))


def entries_of(listener) -> list[dict[str, Any]]:
    return list(AuditLogEntry.objects.filter(listener=listener).order_by("id").values(*COLUMNS))


def lists_of(listener) -> list[Any]:
    """Return the nulled and diff fields of each event as handlers receive them."""
    entries = AuditLogEntry.objects.filter(listener=listener).select_related("listener")
    events = [EventData.of(entry).metadata for entry in entries.order_by("id")]
    lists = [(one.nulled_fields, one.diff_fields) for one in events]
    assert None not in {names for pair in lists for names in pair}
    return [tuple(set(names or ()) for names in pair) for pair in lists]


def deliveries_of(listener) -> int:
    return Delivery.objects.filter(entry__listener=listener).count()


def assert_same(cometd: list[dict[str, Any]], pubsub: list[dict[str, Any]]) -> None:
    for one, other in zip(cometd, pubsub, strict=False):
        assert one == other
        # {"a": 1} == {"a": True} and 1 == 1.0, and a handler could tell.
        assert repr(_sorted(one)) == repr(_sorted(other))
    assert len(cometd) == len(pubsub)


def _sorted(value):
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(one) for one in value] if isinstance(value, list) else value


def assert_same_places(cometd, pubsub) -> None:
    """Check that both listeners have the same events, each with its transport's replay id."""
    numbers, texts = (
        [entry.replay_id for entry in AuditLogEntry.objects.filter(listener=one).order_by("id")]
        for one in (cometd, pubsub)
    )
    assert [f"0x{int(number):016x}0000" for number in numbers] == texts
    assert Position.objects.get(listener=pubsub).replay_id.startswith("0x")


def assert_has_what_is_hard_to_tell(entries: list[dict[str, Any]]) -> None:
    """Check that the entries include the kinds of values that are hardest to decode."""
    data = [entry["changed_data"] for entry in entries]
    assert any(one.get("BillingAddress") == {"Street": None, "City": "Lyon"} for one in data)
    assert any("diff" in one["Description"] for one in data if "Description" in one)
    assert any(one.get("Brand_New__c") is False for one in data)
    assert any(entry["record_count"] == 20 for entry in entries)
    assert any(entry["record_id"] == "003*" for entry in entries)
    assert len({entry["transaction_key"] for entry in entries}) < len(entries) - 20


def assert_only_pubsub_sends_both_lists(cometd, pubsub) -> None:
    sent = AuditLogEntry.objects.filter(listener=pubsub)
    assert not sent.filter(Q(nulled_fields__isnull=True) | Q(diff_fields__isnull=True)).exists()
    assert sent.exclude(nulled_fields=[]).exists()
    assert sent.filter(diff_fields=["Description"]).exists()
    left_out = AuditLogEntry.objects.filter(listener=cometd)
    assert not left_out.exclude(nulled_fields__isnull=True, diff_fields__isnull=True).exists()
