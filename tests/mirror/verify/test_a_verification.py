"""A verification finds every kind of difference, records it and repairs it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from mirror import kinds, runs
from mirror.models import Mirror
from mirror.runs import DEPTHS
from mirror.status import status_of
from mirror.verify import count_buckets, steps
from mirror.verify.comparison import Comparison
from mirror.words import result_of

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]


@pytest.fixture
def accounts(org):
    return org.create("Account", *({"Name": f"Account {n}", "Phone": str(n)} for n in range(5)))


@pytest.mark.parametrize("depth", DEPTHS)
def test_an_equal_mirror_is_right(mirrored, depth):
    run = mirrored.verify(depth)

    assert (run.is_right, run.error) == (True, "")
    assert mirrored.differences() == []
    assert mirrored.incident() is None
    assert mirrored.mirror.last_verified_at is not None
    assert mirrored.mirror.rows == mirrored.mirror.rows_in_salesforce == run.report["rows"]
    counted = " counted" if depth == "counts" else ""
    result = re.sub(r" in \d+ s", "", result_of(run))
    assert result == f"{run.report['rows']} rows{counted}; no difference"


def test_trap_drift_a_difference_is_recorded_with_both_values_and_repaired(mirrored, accounts):
    mirrored.rows.filter(pk=accounts[0]).update(phone="wrong")

    run = mirrored.verify("full")

    [found] = mirrored.differences()
    assert (found.record_id, found.field) == (accounts[0], "Phone")
    assert (found.here, found.there, found.reason) == ("wrong", "0", "unexplained")
    assert found.repaired_at is not None
    assert found.repaired_by == f"run {run.pk}"
    assert mirrored.rows.get(pk=accounts[0]).phone == "0"
    assert not run.is_right
    incident = mirrored.incident()
    assert incident is not None
    assert "1 unexplained difference" in incident.summary


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_row_with_a_later_version_than_its_record_is_repaired(mirrored, accounts, depth):
    """Such a version, from another writer or a refreshed sandbox, makes the guard skip events."""
    version = mirrored.rows.get(pk=accounts[0]).version
    later = version + timedelta(days=5 * 365)
    mirrored.rows.filter(pk=accounts[0]).update(version=later)
    mirrored.rows.filter(pk=accounts[1]).update(version=later, phone="wrong")

    run = mirrored.verify(depth)

    found = {(one.record_id, one.field) for one in mirrored.differences()}
    assert found == {
        *((record_id, "LastModifiedDate") for record_id in accounts[:2]),
        (accounts[1], "Phone"),
    }
    assert all(one.repaired_at for one in mirrored.differences())
    assert not run.is_right
    assert mirrored.rows.get(pk=accounts[0]).version == version
    assert mirrored.rows.get(pk=accounts[1]).phone == "1"


def test_the_incident_closes_when_a_later_verification_finds_nothing(mirrored, accounts):
    mirrored.rows.filter(pk=accounts[0]).update(phone="wrong")
    mirrored.verify("full")

    mirrored.verify("counts")
    assert mirrored.incident() is not None
    assert mirrored.verify("full").is_right
    assert mirrored.incident() is None


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_missing_row_is_found_and_read(mirrored, accounts, depth):
    mirrored.rows.filter(pk=accounts[1]).delete()

    mirrored.verify(depth)

    [found] = mirrored.differences()
    assert (found.record_id, found.field, found.reason) == (accounts[1], "", "missing_row")
    assert found.repaired_at is not None
    assert mirrored.rows.get(pk=accounts[1]).name == "Account 1"


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_tombstone_of_an_existing_record_is_found(mirrored, accounts, depth):
    mirrored.rows.filter(pk=accounts[2]).update(is_deleted=True)

    mirrored.verify(depth)

    [found] = mirrored.differences()
    assert (found.field, found.here, found.there) == ("IsDeleted", True, False)
    assert found.reason == "not_deleted"
    assert not mirrored.rows.get(pk=accounts[2]).is_deleted


@pytest.mark.parametrize("depth", DEPTHS)
def test_trap_hard_deletes_a_record_is_found_confirmed_and_marked(mirrored, org, accounts, depth):
    org.hard_delete("Account", accounts[3])

    run = mirrored.verify(depth)

    [found] = mirrored.differences()
    assert (found.record_id, found.reason) == (accounts[3], "hard_deleted")
    assert found.repaired_at is not None
    assert mirrored.rows.get(pk=accounts[3]).is_deleted
    assert run.is_right
    assert mirrored.incident() is None


def test_a_deleted_record_whose_event_was_lost_is_unexplained(mirrored, org, accounts):
    org.delete("Account", accounts[4])

    run = mirrored.verify("ids")

    [found] = mirrored.differences()
    assert (found.field, found.reason) == ("IsDeleted", "unexplained")
    assert mirrored.rows.get(pk=accounts[4]).is_deleted
    assert not run.is_right


def test_a_changed_record_without_an_entry_is_found_by_its_id(mirrored, org, accounts):
    org.update("Account", accounts[0], Phone="changed")
    [changed] = [one for one in org.records("Account") if one["id"] == accounts[0]]
    newest = datetime.fromisoformat(changed["fields"]["LastModifiedDate"])
    mirrored.rows.filter(pk=accounts[0]).update(version=newest)  # counts cannot tell

    mirrored.verify("counts")

    [found] = mirrored.differences()
    assert (found.field, found.there) == ("Phone", "changed")
    assert mirrored.rows.get(pk=accounts[0]).phone == "changed"


def test_changed_ids_are_looked_for_from_where_the_last_verification_ended(
    mirrored, accounts, monkeypatch
):
    lag = steps.LAG
    monkeypatch.setattr(steps, "LAG", timedelta(hours=1))
    assert "updated" not in mirrored.verify("counts").report
    # That verification went on for long after it had looked for changed ids.
    Mirror.objects.update(last_verified_at=timezone.now() + timedelta(minutes=20))
    monkeypatch.setattr(steps, "LAG", lag)

    run = mirrored.verify("counts")

    assert run.report["updated"] >= len(accounts)


def test_changed_ids_are_complete_until_the_time_that_salesforce_names(mirrored):
    ids, covered = Comparison(mirrored.mirror).there.updated(
        timezone.now() - timedelta(hours=1), timezone.now() + timedelta(hours=1)
    )

    assert ids
    assert covered <= timezone.now()


def test_records_that_disappear_all_at_once_are_not_deleted(mirrored, org):
    org.create("Account", *({"Name": "more"} for _ in range(20)))
    mirrored.verify("full")
    mirrored.age()
    ids = list(mirrored.rows.filter(is_deleted=False).values_list("pk", flat=True))
    org.hard_delete("Account", ids)

    run = mirrored.verify("ids")

    assert not run.is_right
    assert "are not in Salesforce" in run.error
    assert not mirrored.rows.filter(is_deleted=True, pk__in=ids).exists()
    incident = mirrored.incident()
    assert incident is not None
    accept = "manage.py mirror repair crm.Account --accept-deletions"
    assert accept in incident.remedy
    status = status_of(mirrored.mirror, timezone.now())
    assert status.state == "attention"
    assert f"{len(ids)} records are not in Salesforce" in status.reason
    assert accept in status.reason

    assert mirrored.run("repair", accept_deletions=True).is_right
    assert status_of(mirrored.mirror, timezone.now()).state != "attention"
    assert mirrored.rows.filter(is_deleted=True, pk__in=ids).count() == len(ids)


def test_a_verification_that_runs_goes_deeper_when_that_is_requested(mirrored, accounts):
    mirrored.rows.filter(pk=accounts[0]).update(phone="wrong")
    now = timezone.now()
    run, _ = runs.request(mirrored.mirror, "verify", now, options={"depth": "counts"})

    again, is_new = runs.request(mirrored.mirror, "verify", now, options={"depth": "full"})
    while not run.is_over:
        kinds.work(run.pk)
        run.refresh_from_db()

    assert (again.pk, is_new) == (run.pk, False)
    assert run.options == {"depth": "full"}
    assert [one.field for one in mirrored.differences()] == ["Phone"]


def test_a_repair_applies_open_differences(mirrored, accounts):
    mirrored.verify("full")
    run = mirrored.mirror.runs.filter(kind="verify").latest("id")
    mirrored.rows.filter(pk=accounts[0]).update(phone="wrong")
    mirrored.mirror.differences.create(
        run=run, record_id=accounts[0], field="Phone", reason="unexplained", found_at=run.created_at
    )

    repair = mirrored.run("repair")

    assert repair.is_right
    [found] = mirrored.differences()
    assert found.repaired_by == f"run {repair.pk}"
    assert mirrored.rows.get(pk=accounts[0]).phone == "0"


def test_counting_many_differing_buckets_continues_in_the_next_slice(
    mirrored, accounts, monkeypatch
):
    """Each slice ends after one bucket, and the next one continues with those that are left."""
    mirrored.rows.filter(pk__in=accounts[:2]).delete()
    narrowed = []
    monkeypatch.setattr(runs, "BUDGET", 0.0)
    monkeypatch.setattr(count_buckets, "LISTED", 0)
    halve = count_buckets.narrowed

    def counted(here, there, bucket, rows):
        narrowed.append(bucket)
        return halve(here, there, bucket, rows)

    monkeypatch.setattr(count_buckets, "narrowed", counted)

    run = mirrored.verify("counts")

    assert len(narrowed) == len(set(narrowed)) > 1
    assert {one.record_id for one in mirrored.differences()} == set(accounts[:2])
    assert run.cursor.get("buckets") is None
