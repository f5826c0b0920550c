"""Formulas, whose changes cause no event, are refreshed on their own and show when."""

from __future__ import annotations

import pytest

from mirror.words import result_of
from tests.mirror.verify.verifying import Mirrored
from tests.simulator.process import SimulatorProcess

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
    pytest.mark.any_python,
]


@pytest.fixture
def org():
    with SimulatorProcess("--connect-timeout", "5") as running:
        running.entity("Contact", formulas={"Title": {"formula": "Account.Name", "type": "string"}})
        yield running


@pytest.fixture
def account(org):
    [record_id] = org.create("Account", Name="Acme")
    return record_id


@pytest.fixture
def contact(org, account):
    [record_id] = org.create("Contact", Name={"LastName": "Doe"}, AccountId=account)
    return record_id


@pytest.fixture
def mirrored(org, contact):
    return Mirrored(org, "crm.Contact")


def test_complaint_13_a_formula_that_changes_with_the_parent_is_refreshed(
    mirrored, org, account, contact
):
    """The complaint "formulas stale or absent" (Fivetran, Estuary)."""
    before = mirrored.rows.get(pk=contact)
    assert before.title == "Acme"
    org.update("Account", account, Name="Acme Inc")

    run = mirrored.run("formulas")

    after = mirrored.rows.get(pk=contact)
    assert after.title == "Acme Inc"
    assert (after.version, after.synced_at) == (before.version, before.synced_at)
    assert run.report["formulas"] == 1
    assert result_of(run).endswith("compared, 1 refreshed")
    assert mirrored.mirror.formulas_refreshed_at == run.started_at


@pytest.mark.parametrize("depth", ["sample", "full"])
def test_a_stale_formula_is_no_difference_and_refreshed(mirrored, org, account, contact, depth):
    org.update("Account", account, Name="Acme Inc")

    run = mirrored.verify(depth)

    assert run.is_right
    assert mirrored.differences() == []
    assert run.report["formulas"] == 1
    assert mirrored.rows.get(pk=contact).title == "Acme Inc"


def test_a_row_with_later_changes_keeps_its_formula(mirrored, org, account, contact):
    org.update("Account", account, Name="Acme Inc")
    mirrored.age(hours=-1)

    mirrored.run("formulas")

    assert mirrored.rows.get(pk=contact).title == "Acme"
