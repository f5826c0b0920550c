"""Parents and children load in any order, and a child whose parent has no row is no error."""

import pytest
from django.db import transaction

from mirror import service
from mirror.models import Mirror
from mirror.status import status_of
from tests.docs.examples import DOCS, defined
from tests.mirror.crm.models import Account, Contact
from tests.mirror.load.loading import live, loaded
from tests.sample_data import ANN, listener_of
from tests.simulator.process import SimulatorProcess

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]

PARENT, CHILD = "crm.Account", "crm.Contact"


@pytest.fixture
def org():
    with SimulatorProcess("--connect-timeout", "5", "--bulk-job-seconds", "0.05") as process:
        yield process


@pytest.fixture
def accounts(org):
    return org.create(
        "Account",
        {"Name": "Acme", "BillingAddress": {"City": "Graz"}},
        {"Name": "Other", "BillingAddress": {"City": "Paris"}},
    )


@pytest.fixture
def contacts(org, accounts):
    """A contact of the first account, one of the second, and one of none."""
    parents = [*accounts, None]
    made = ({"LastName": f"Doe {n}", "AccountId": one} for n, one in enumerate(parents))
    return org.create("Contact", *made)


@pytest.fixture
def listener(org):
    listener = listener_of(org)
    live(listener)
    return listener


def load(listener, model):
    with transaction.atomic():
        mirror = service.store(Mirror(model=model, listener=listener), ANN)
    run = loaded(mirror)
    return mirror, run


def names():
    """Return the name of each contact's account, by the query in the documentation."""
    queries = defined(DOCS / "mirrored-models.md")
    found = queries["with_account_names"](Contact.objects, Account.objects)
    return dict(found.values_list("pk", "account_name"))


def orphans():
    query = defined(DOCS / "mirrored-models.md")["without_account"]
    return {*query(Contact.objects, Account.objects).values_list("pk", flat=True)}


def in_graz():
    query = defined(DOCS / "mirrored-models.md")["of_accounts_in"]
    return {*query("Graz", Contact.objects, Account.objects).values_list("pk", flat=True)}


def parents():
    return dict(Contact.objects.values_list("pk", "account_id"))


@pytest.mark.parametrize("order", [(PARENT, CHILD), (CHILD, PARENT)], ids=" ".join)
def test_parents_and_children_load_in_any_order(listener, accounts, contacts, order):
    for number, model in enumerate(order):
        mirror, run = load(listener, model)
        assert (run.state, run.error, mirror.phase) == ("done", "", "in_sync")
        if model == CHILD and number == 0:
            assert orphans() == {*contacts[:2]}
            assert names() == dict.fromkeys(contacts)

    assert parents() == dict(zip(contacts, [*accounts, None], strict=True))
    assert names() == dict(zip(contacts, ["Acme", "Other", None], strict=True))
    assert in_graz() == {contacts[0]}
    assert orphans() == set()


def test_a_child_whose_parent_is_invisible_is_no_error(org, listener, accounts, contacts):
    child, loaded_children = load(listener, CHILD)
    org.fault("rest_error", target="rest", channel="describe", code="NOT_FOUND", status=404)
    parent, refused = load(listener, PARENT)

    assert (loaded_children.state, status_of(child, child.created_at).state) == ("done", "in_sync")
    assert refused.state == "failed"
    assert "may not see it" in status_of(parent, parent.created_at).reason
    assert parents() == dict(zip(contacts, [*accounts, None], strict=True))
    assert orphans() == {*contacts[:2]}
    assert in_graz() == set()


def test_a_child_whose_parent_is_deleted_is_found_with_all_rows(org, listener, accounts, contacts):
    load(listener, PARENT)
    load(listener, CHILD)
    Account.all_objects.filter(pk=accounts[0]).update(is_deleted=True)

    assert orphans() == {contacts[0]}
    query = defined(DOCS / "mirrored-models.md")["without_account"]
    assert not query(Contact.objects, Account.all_objects).exists()
