"""Formulas, whose changes cause no event, are refreshed on their own and show when."""

from __future__ import annotations

import pytest
from django.utils import timezone

from mirror import budget, kinds, runs
from mirror.models import Mirror
from mirror.status import status_of
from mirror.words import result_of
from tests.mirror.verify.verifying import Mirrored
from tests.simulator.process import SimulatorProcess

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]


@pytest.fixture
def org():
    with SimulatorProcess("--connect-timeout", "5", "--query-batch-size", "2") as running:
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


@pytest.mark.parametrize(
    ("kind", "options"),
    [("formulas", {}), ("verify", {"depth": "ids"}), ("verify", {"fields": ["Title"]})],
)
def test_reading_all_records_leaves_a_tenth_of_the_daily_calls_to_others(
    org, mirrored, monkeypatch, kind, options
):
    org.create("Contact", *({"Name": {"LastName": f"Doe {n}"}} for n in range(3)))
    run, _ = runs.request(mirrored.mirror, kind, timezone.now(), options=options)
    share = budget.PAUSE_FROM
    monkeypatch.setattr(budget, "PAUSE_FROM", 0.0)

    kinds.work(run.pk)

    run.refresh_from_db()
    assert run.state == "waiting"
    assert "the org's daily API calls" in run.waits_for
    monkeypatch.setattr(budget, "PAUSE_FROM", share)
    while not run.is_over:
        kinds.work(run.pk)
        run.refresh_from_db()
    assert run.state == "done"


def test_a_mirror_whose_object_is_no_longer_selected_is_not_in_sync(mirrored, org, contact):
    def status():
        return status_of(Mirror.objects.get(), timezone.now())

    mirrored.run("formulas", schema_only=True)
    assert status().in_sync_as_of is not None
    before = mirrored.mirror.runs.filter(kind="formulas").latest("id")

    org.entity("Contact", selected=False)
    run = mirrored.run("formulas", schema_only=True)

    assert run.is_right is False
    assert (status().state, status().in_sync_as_of) == ("attention", None)
    assert "does not carry changes of Contact" in status().reason

    org.entity("Contact", selected=True)
    mirrored.run("formulas", schema_only=True)

    assert status().state != "attention"
    sweep = mirrored.mirror.runs.get(kind="sweep")
    assert sweep.options["since"] == before.started_at.isoformat()
    assert sweep.options["ids"]
