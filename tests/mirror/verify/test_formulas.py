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
def several(org, account):
    for number in range(5):
        org.create("Contact", Name={"LastName": f"Doe{number}"}, AccountId=account)


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


def status():
    return status_of(Mirror.objects.get(), timezone.now())


def sweeps(mirrored):
    return mirrored.mirror.runs.filter(kind="sweep")


def last_look(mirrored):
    return mirrored.mirror.runs.filter(kind="formulas").latest("id")


def work_on(run, monkeypatch, slices=None):
    """Work on the run, in slices as short as possible: so many, or until it ends."""
    with monkeypatch.context() as short:
        short.setattr(runs, "BUDGET", 0.0)
        while not run.is_over and slices != 0:
            kinds.work(run.pk)
            run.refresh_from_db()
            slices = None if slices is None else slices - 1


def test_a_mirror_whose_object_is_no_longer_selected_is_not_in_sync(mirrored, org, contact):
    mirrored.run("formulas", schema_only=True)
    assert status().in_sync_as_of is not None
    before = last_look(mirrored)

    org.entity("Contact", selected=False)
    run = mirrored.run("formulas", schema_only=True)

    assert run.is_right is False
    assert "does not carry changes of Contact" in result_of(run)
    assert (status().state, status().in_sync_as_of) == ("attention", None)
    assert "does not carry changes of Contact" in status().reason

    org.entity("Contact", selected=True)
    mirrored.run("formulas", schema_only=True)

    assert status().state != "attention"
    sweep = sweeps(mirrored).get()
    assert sweep.options["since"] == before.started_at.isoformat()
    assert sweep.options["ids"]


def test_what_cannot_be_seen_does_not_count_as_carried(mirrored, org, contact):
    mirrored.run("formulas", schema_only=True)
    before = last_look(mirrored)
    org.entity("Contact", selected=False)
    org.access(view_setup=False)
    mirrored.run("formulas", schema_only=True)
    assert status().state == "in_sync"  # nothing is known

    org.access(view_setup=True)
    mirrored.run("formulas", schema_only=True)
    org.access(view_setup=False)
    mirrored.run("formulas", schema_only=True)

    assert status().state == "attention"
    assert not sweeps(mirrored).exists()

    org.access(view_setup=True)
    org.entity("Contact", selected=True)
    mirrored.run("formulas", schema_only=True)

    assert sweeps(mirrored).get().options["since"] == before.started_at.isoformat()


def test_a_long_refresh_says_at_its_beginning_what_the_channel_leaves_out(
    several, mirrored, org, monkeypatch
):
    mirrored.run("formulas", schema_only=True)
    org.entity("Contact", selected=False)
    run, _ = runs.request(mirrored.mirror, "formulas", timezone.now())

    work_on(run, monkeypatch, slices=1)

    assert not run.is_over
    assert (status().state, status().in_sync_as_of) == ("attention", None)


def test_a_long_refresh_requests_the_sweep_once(several, mirrored, org, monkeypatch):
    mirrored.run("formulas", schema_only=True)
    org.entity("Contact", selected=False)
    mirrored.run("formulas", schema_only=True)
    org.entity("Contact", selected=True)
    run, _ = runs.request(mirrored.mirror, "formulas", timezone.now())
    work_on(run, monkeypatch, slices=1)
    assert not run.is_over
    work_on(sweeps(mirrored).get(), monkeypatch)

    work_on(run, monkeypatch)

    assert sweeps(mirrored).count() == 1
