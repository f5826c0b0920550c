"""The steps of a mirror's upkeep, of which none holds up another one."""

import pytest
from django.db import OperationalError

from listeners.salesforce.errors import TransportFailed
from mirror.apply import dirty, gap_scan, merges, upkeep
from mirror.models import DirtyRow, Mirror
from tests.mirror.apply.changing import ACCOUNT, START, a_mirror, event, record
from tests.mirror.crm.models import Account, Contact
from tests.sample_data import listener_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture
def accounts(simulator):
    """A mirror with a record that is due to be read."""
    [acme] = simulator.create("Account", {"Name": "Acme"})
    mirror = a_mirror(listener_of(simulator), described={**ACCOUNT, "MasterRecordId": "reference"})
    dirty.mark(mirror, {acme: START - 3_600_000}, "gap")
    DirtyRow.objects.update(due_at=mirror.created_at)
    return mirror


@pytest.mark.parametrize("step", ["scan", "search"])
@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (TransportFailed("no answer"), ""),
        (OperationalError("deadlock detected"), ""),
        (OperationalError("shop is down"), "The upkeep failed, and is tried again: shop is down"),
    ],
)
def test_records_are_read_although_another_step_fails(accounts, monkeypatch, step, error, problem):
    def fail(_mirror):
        raise error

    monkeypatch.setattr({"scan": gap_scan, "search": merges}[step], step, fail)
    upkeep.work(accounts.pk)

    assert not DirtyRow.objects.exists()
    assert Account.objects.get().name == "Acme"
    mirror = Mirror.objects.get()
    assert mirror.upkeep_until is not None, "it is tried again"
    assert mirror.problem == problem

    monkeypatch.undo()
    upkeep.work(accounts.pk)
    assert Mirror.objects.get().problem == ""


def test_a_mirror_whose_model_is_gone_holds_up_no_other(accounts):
    contacts = a_mirror(accounts.listener, "crm.Contact", {"AccountId": "reference"})
    Mirror.objects.filter(pk=contacts.pk).update(model="crm.Gone")
    record(accounts.listener, event("DELETE", 10, ["001000000000009AAA"]))

    for mirror in (accounts, contacts):
        upkeep.work(mirror.pk)

    assert not DirtyRow.objects.exists()
    assert "crm.Gone" in Mirror.objects.get(pk=contacts.pk).problem
    assert Mirror.objects.get(pk=accounts.pk).problem == ""


def test_a_search_for_merges_that_salesforce_refuses_is_the_mirrors_problem(simulator):
    [gone] = simulator.create("Opportunity", {"Name": "A"})
    parents = a_mirror(
        listener_of(simulator), "crm.Opportunity", {"MasterRecordId": "reference"}
    )  # the org has no such field
    contacts = a_mirror(parents.listener, "crm.Contact", {"AccountId": "reference"})
    Contact.all_objects.create(pk="003000000000001AAA", account_id=gone)
    record(parents.listener, event("DELETE", 10, [gone], entity="Opportunity"))

    upkeep.work(contacts.pk)

    mirror = Mirror.objects.get(pk=contacts.pk)
    assert mirror.problem.startswith("The upkeep failed, and is tried again: ")
    assert "MasterRecordId" in mirror.problem
    assert merges.possible(mirror).exists()

    Mirror.objects.filter(pk=parents.pk).update(described={"Id": "id"})
    upkeep.work(contacts.pk)
    assert Mirror.objects.get(pk=contacts.pk).problem == ""
