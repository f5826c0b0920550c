"""The search for merged records, whose children are read again."""

import pytest
from django.utils import timezone

from listeners.models import Listener, Position
from mirror.apply import merges, upkeep
from mirror.models import DirtyRow, Mirror
from mirror.status import status_of
from tests.mirror.apply.changing import ACCOUNT, START, a_mirror, event, record, run_all, time_of
from tests.mirror.crm.models import Account, Contact
from tests.sample_data import listener_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

ANNA = "003000000000001AAA"
MERGED = {**ACCOUNT, "MasterRecordId": "reference"}
CONTACT = {"Id": "id", "AccountId": "reference", "LastModifiedDate": "datetime"}


def search():
    for mirror in Mirror.objects.select_related("listener__connection"):
        merges.search(mirror)


def dirty():
    return {row.record_id: (row.reason, row.since - START) for row in DirtyRow.objects.all()}


def merge(org):
    """Merge two accounts; return the kept and the merged one."""
    kept, lost = org.create("Account", {"Name": "A"}, {"Name": "B"})
    org.merge("Account", kept, lost)
    return kept, lost


def test_children_of_a_merged_record_are_read_again(simulator):
    org = simulator
    kept, lost, deleted = org.create("Account", {"Name": "A"}, {"Name": "B"}, {"Name": "C"})
    listener = listener_of(org)
    a_mirror(listener, described=MERGED)
    a_mirror(listener, "crm.Contact", {"AccountId": "reference"})
    for number, account in enumerate((kept, lost, deleted)):
        Contact.all_objects.create(pk=f"003{number:012d}AAA", account_id=account)
    org.merge("Account", kept, lost)
    org.delete("Account", deleted)
    record(listener, event("DELETE", 10, [lost]), event("DELETE", 20, [deleted]))

    search()

    assert dirty() == {"003000000000001AAA": ("merge", 10)}
    assert not Account.all_objects.exists()


@pytest.mark.parametrize(
    ("model", "field"), [("crm.Account", "ParentId"), ("crm.Contact", "Agency__c")]
)
def test_children_that_name_a_merged_record_in_raw_alone_are_read_again(simulator, model, field):
    kept, lost, deleted = simulator.create("Account", {"Name": "A"}, {"Name": "B"}, {"Name": "C"})
    listener = listener_of(simulator)
    a_mirror(listener, described={**MERGED, "ParentId": "reference"})
    if model == "crm.Contact":
        a_mirror(listener, model, {"AccountId": "reference", "Agency__c": "reference"})
    rows = {"crm.Account": Account, "crm.Contact": Contact}[model].all_objects
    for number, account in enumerate((kept, lost, deleted)):
        rows.create(pk=f"00x{number:012d}AAA", raw={field: account, "Other__c": lost})
    simulator.merge("Account", kept, lost)
    simulator.delete("Account", deleted)
    record(listener, event("DELETE", 10, [lost]), event("DELETE", 20, [deleted]))
    run_all()
    children = Mirror.objects.get(model=model)
    assert merges.possible(children).count() == 2

    assert upkeep.start_due(timezone.now()) >= 1
    search()

    assert dirty() == {"00x000000000001AAA": ("merge", 10)}


def test_a_merged_parent_of_the_same_object_in_a_column_is_found(simulator):
    kept, lost = simulator.create("Account", {"Name": "A"}, {"Name": "B"})
    described = {**MERGED, "Website": "reference"}
    accounts = a_mirror(listener_of(simulator), described=described)
    Account.all_objects.create(pk="001000000000009AAA", website=lost)
    simulator.merge("Account", kept, lost)
    record(accounts.listener, event("DELETE", 10, [lost]))
    run_all()

    search()

    assert dirty() == {"001000000000009AAA": ("merge", 10)}


def test_a_deleted_record_of_an_object_that_is_not_merged_holds_up_no_search(simulator):
    [gone] = simulator.create("Opportunity", {"Name": "A"})
    listener = listener_of(simulator)
    listener.gap_policy = "record"
    listener.save()
    a_mirror(listener, "crm.Opportunity", {"Id": "id", "Name": "string"})
    contacts = a_mirror(listener, "crm.Contact", {"AccountId": "reference"})
    Contact.all_objects.create(pk=ANNA, account_id=gone)
    simulator.delete("Opportunity", gone)
    record(listener, event("DELETE", 10, [gone], entity="Opportunity"))

    search()

    assert not dirty()
    assert not merges.possible(Mirror.objects.get(pk=contacts.pk))


@pytest.mark.parametrize("kind", ["CREATE", "UPDATE"])
def test_a_merge_is_searched_only_after_the_earlier_changes_of_the_children(simulator, kind):
    _, lost = merge(simulator)
    listener = listener_of(simulator)
    a_mirror(listener, described=MERGED)
    a_mirror(listener, "crm.Contact", CONTACT)
    if kind == "UPDATE":
        Contact.all_objects.create(pk=ANNA, synced_at=time_of(START - 9000), version=time_of(0))
    record(listener, event(kind, 0, [ANNA], entity="Contact", AccountId=lost))
    record(listener, event("DELETE", 10, [lost]))

    assert upkeep.start_due(timezone.now()) == 0, "the contact's change waits for a worker"
    search()
    assert not dirty()
    run_all()
    assert Contact.objects.get(pk=ANNA).account_id == lost
    assert upkeep.start_due(timezone.now()) == 1
    search()

    assert dirty() == {ANNA: ("merge", 10)}
    assert not merges.possible(Mirror.objects.get(model="crm.Contact"))


def test_a_merge_is_searched_only_after_a_load_of_the_children(simulator):
    _, lost = merge(simulator)
    listener = listener_of(simulator)
    a_mirror(listener, described=MERGED)
    contacts = a_mirror(listener, "crm.Contact", CONTACT)
    contacts.runs.update(state="running")
    record(listener, event("DELETE", 10, [lost]))

    search()
    Contact.all_objects.create(pk=ANNA, account_id=lost)  # of a page that was read before
    contacts.runs.update(state="done")
    search()

    assert dirty() == {ANNA: ("merge", 10)}


def test_merged_parents_of_another_listener_are_found(simulator):
    _, lost = merge(simulator)
    accounts = listener_of(simulator, channel="/data/AccountChangeEvent")
    a_mirror(accounts, described=MERGED)
    contacts = Listener.objects.create(
        name="contacts", connection=accounts.connection, channel="/data/ContactChangeEvent"
    )
    mirror = a_mirror(contacts, "crm.Contact", CONTACT)
    record(contacts, event("CREATE", 0, [ANNA], entity="Contact", AccountId=lost))
    record(accounts, event("DELETE", 10, [lost]))
    run_all()

    def caught_up_at(milliseconds):
        Position.objects.update(caught_up_at=time_of(START + milliseconds), last_event_at=None)
        search()
        return dirty()

    assert caught_up_at(1000) == {}, "an earlier change of the contact may be on its way"
    assert caught_up_at(3000) == {ANNA: ("merge", 10)}

    DirtyRow.objects.all().delete()
    Mirror.objects.update(in_sync_since=time_of(START))
    Position.objects.update(caught_up_at=time_of(START + 60_000))
    Position.objects.filter(listener=accounts).update(caught_up_at=time_of(START + 9_000))
    status = status_of(Mirror.objects.get(pk=mirror.pk), timezone.now())
    assert status.in_sync_as_of == time_of(START + 7_000), "later merges were not received"


def test_a_gap_event_of_a_merged_record_counts_as_its_deletion(simulator):
    _, lost = merge(simulator)
    listener = listener_of(simulator, gap_policy="record")
    a_mirror(listener, described=MERGED)
    a_mirror(listener, "crm.Contact", CONTACT)
    Contact.all_objects.create(pk=ANNA, account_id=lost)
    record(listener, event("GAP_DELETE", 10, [lost]))

    search()

    assert dirty() == {ANNA: ("merge", 10)}
