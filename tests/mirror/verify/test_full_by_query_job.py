"""A full verification of many records reads them with a query job, and the database compares."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models import F

from mirror.models import MirrorRun

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]


@pytest.fixture
def accounts(org):
    return org.create(
        "Account",
        *(
            {
                "Name": f"Account {n}",
                "Phone": str(n),
                "AnnualRevenue": n + 0.5 if n % 2 else None,
                "NumberOfEmployees": n,
                "BillingCity": "Graz",
            }
            for n in range(25)
        ),
    )


def bulk_of(run: MirrorRun) -> dict[str, object]:
    found: dict[str, object] = run.cursor["bulk"]
    return found


def test_equal_rows_are_compared_without_reading_a_record_by_rest(mirrored):
    run = mirrored.verify("full")

    assert (run.is_right, run.error, mirrored.differences()) == (True, "", [])
    assert run.report["compared"] == run.report["rows"] >= 25
    assert bulk_of(run)["has_all"] is True
    assert "after" not in run.cursor


def test_every_kind_of_difference_is_found_and_repaired(mirrored, accounts):
    rows = mirrored.rows
    rows.filter(pk=accounts[0]).update(phone="wrong")
    rows.filter(pk=accounts[1]).update(annual_revenue=None)
    rows.filter(pk=accounts[2]).update(annual_revenue="7.5")
    rows.filter(pk=accounts[3]).update(billing_city="graz")
    rows.filter(pk=accounts[4]).update(is_deleted=True)
    rows.filter(pk=accounts[5]).update(is_complete=False)
    rows.filter(pk=accounts[6]).delete()
    rows.filter(pk=accounts[7]).update(version=F("version") + timedelta(days=365))
    rows.filter(pk=accounts[8]).update(raw={"Hidden__c": "kept"})  # no difference

    run = mirrored.verify("full")

    assert "rest" not in bulk_of(run)
    found = {one.record_id for one in mirrored.differences()}
    assert found == {*accounts[:8]}
    assert all(one.repaired_at for one in mirrored.differences())
    again = mirrored.verify("full")
    assert (again.is_right, again.report.get("differences", 0)) == (True, 0)


def test_a_row_without_a_record_is_found_by_its_id(mirrored, accounts):
    ghost = mirrored.rows.get(pk=accounts[0])
    ghost.pk = "001000000000999AAA"
    ghost.save(force_insert=True)

    run = mirrored.verify("full")

    assert bulk_of(run)["has_all"] is False
    assert [one.record_id for one in mirrored.differences()] == [ghost.pk]
    assert mirrored.rows.get(pk=ghost.pk).is_deleted
    assert run.report["compared"] == run.report["rows"]


@pytest.mark.usefixtures("loads_that_settle")
def test_rest_compares_when_the_bulk_api_refuses(org, mirrored, accounts):
    mirrored.rows.filter(pk=accounts[0]).update(phone="wrong")
    org.fault("rest_error", target="bulk", channel="create", code="INVALIDENTITY")

    run = mirrored.verify("full")

    assert "rest" in bulk_of(run)
    assert [one.record_id for one in mirrored.differences()] == [accounts[0]]
    assert run.report["compared"] == run.report["rows"]


def test_a_page_that_is_read_again_counts_once(org, mirrored):
    org.fault("close", target="bulk", channel="results")

    run = mirrored.verify("full")

    assert run.is_right
    assert bulk_of(run)["has_all"] is True
    assert run.report["compared"] == run.report["rows"]
