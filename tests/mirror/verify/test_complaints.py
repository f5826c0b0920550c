"""A verification finds or repairs the faults that users of other products report."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]


def found(mirrored):
    return {(one.record_id, one.field or one.reason) for one in mirrored.differences()}


def test_complaint_1_records_that_become_visible_late_are_not_missing(mirrored, org):
    """Rows with a SystemModstamp below the saved cursor appear later (airbyte #27146)."""
    change = {"op": "create", "entity": "Account", "records": [{"Name": "late"}]}
    [late] = org.change(change, seconds_before_commit=300)["record_ids"]

    mirrored.verify("counts")

    assert (late, "missing_row") in found(mirrored)
    assert mirrored.rows.get(pk=late).name == "late"


def test_complaint_2_hard_deleted_records_are_reflected(mirrored, org, accounts):
    """ "Hard-deleted records not reflected" (airbyte #34082, #44845)."""
    org.hard_delete("Account", accounts[:3])

    run = mirrored.verify("ids")

    assert found(mirrored) == {(one, "IsDeleted") for one in accounts[:3]}
    assert not mirrored.rows.filter(pk__in=accounts[:3], is_deleted=False).exists()
    assert run.report["reason_hard_deleted"] == 3


def test_complaint_3_a_partial_copy_is_not_shown_as_right(mirrored, accounts):
    """ "Synch is missing a lot of records" (airbyte #27048): 500,000 of 900,000."""
    mirrored.rows.filter(pk__in=accounts[:20]).delete()

    run = mirrored.verify("counts")

    assert not run.is_right
    assert run.report["reason_missing_row"] == 20
    assert mirrored.rows.filter(pk__in=accounts).count() == 30


def test_complaint_5_a_count_that_times_out_is_halved(mirrored, org, accounts):
    """Syncs were reported green with 0 records after QUERY_TIMEOUT (airbyte #17503, #19947)."""
    mirrored.rows.filter(pk=accounts[0]).delete()
    day = timezone.now() - timedelta(days=1)
    mirrored.rows.filter(pk=accounts[1]).update(created_date=day)
    org.fault("rest_error", target="rest", channel="query", code="QUERY_TIMEOUT", times=2)
    try:
        run = mirrored.verify("counts")
    finally:
        org.clear_faults()

    assert (accounts[0], "missing_row") in found(mirrored)
    assert run.report["rows"] == run.report["rows_in_salesforce"]


def test_complaint_12_records_of_one_second_are_told_apart(mirrored, accounts):
    """Equal timestamps across pages lose rows (supaglue #532)."""
    mirrored.rows.filter(pk=accounts[17]).delete()

    mirrored.verify("counts")

    assert found(mirrored) == {(accounts[17], "missing_row")}


def test_complaint_15_an_older_value_does_not_replace_a_newer_one(mirrored, org, accounts):
    """Values flip back and forth (Heroku Connect, "Rapid Multiple Updates")."""
    newer = timezone.now() + timedelta(hours=1)
    mirrored.rows.filter(pk=accounts[0]).update(phone="newer", version=newer)

    mirrored.run("load")

    assert mirrored.rows.get(pk=accounts[0]).phone == "newer"
