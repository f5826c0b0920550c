"""A difference whose change is still on its way is checked again, and not counted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from listeners.models import Position
from mirror.models import DirtyRow
from mirror.sweeps import request_sweep
from mirror.verify import confirm, run
from mirror.verify.comparison import Comparison
from tests.mirror.verify.verifying import Mirrored

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]


@pytest.fixture
def mirrored(org, account):
    return Mirrored(org)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(run, "PENDING_CHECKS", 2)


@pytest.mark.usefixtures("impatient")
def test_a_change_that_the_stream_has_not_passed_is_not_counted(mirrored, org, account):
    org.update("Account", account, Phone="2")
    mirrored.catch_up(timezone.now() - timedelta(minutes=1))

    verification = mirrored.verify("full")

    assert mirrored.differences() == []
    assert mirrored.incident() is None
    assert verification.report["pending"] == 1
    assert not verification.is_right  # not proven
    assert "have not arrived yet" in verification.error


def test_a_stream_that_is_never_idle_shows_by_its_last_event_how_far_it_has_come(mirrored, account):
    positions = Position.objects.filter(pk=mirrored.mirror.listener_id)
    positions.update(caught_up_at=None, last_event_at=timezone.now() + timedelta(minutes=1))
    mirrored.rows.filter(pk=account).update(phone="wrong")

    mirrored.verify("full")

    [found] = mirrored.differences()
    assert (found.here, found.there, found.reason) == ("wrong", "1", "unexplained")
    assert found.repaired_at is not None


@pytest.mark.usefixtures("impatient")
def test_a_record_that_waits_to_be_read_is_not_counted(mirrored, account):
    mirrored.rows.filter(pk=account).update(phone="wrong")
    now = timezone.now()
    DirtyRow.objects.create(
        mirror=mirrored.mirror,
        record_id=account,
        since=0,
        complete_until=0,
        reason="gap",
        due_at=now,
    )

    assert mirrored.verify("full").report["pending"] == 1
    assert mirrored.differences() == []


@pytest.mark.usefixtures("impatient")
def test_a_record_that_a_sweep_is_to_read_is_not_counted(mirrored, org, account):
    since = timezone.now() - timedelta(minutes=1)
    org.update("Account", account, Phone="2")  # one of an overflow
    with transaction.atomic():
        request_sweep(mirrored.mirror, since, timezone.now(), "an overflow")

    assert mirrored.verify("full").report["pending"] == 1
    assert mirrored.differences() == []


def test_a_change_that_is_applied_after_the_last_check_is_no_difference(
    mirrored, org, account, monkeypatch
):
    org.update("Account", account, Phone="2")
    original = Comparison.on_their_way

    def arrive(comparison, checked, ids):
        mirrored.rows.filter(pk=account).update(phone="2")
        return original(comparison, checked, ids)

    monkeypatch.setattr(Comparison, "on_their_way", arrive)
    confirmed = confirm.confirm(Comparison(mirrored.mirror), [account])

    assert (confirmed.mismatches, confirmed.late) == ([], 1)


def test_a_change_that_arrives_during_the_check_is_no_difference(mirrored, org, account):
    org.update("Account", account, Phone="2")

    def arrive():
        mirrored.rows.filter(pk=account).update(phone="2")

    confirmed = confirm.confirm(Comparison(mirrored.mirror), [account], on_pause=arrive)

    assert (confirmed.mismatches, confirmed.pending, confirmed.late) == ([], [], 1)


def test_pending_records_are_checked_until_they_are_equal(mirrored, org, account, monkeypatch):
    org.update("Account", account, Phone="2")
    mirrored.catch_up(timezone.now() - timedelta(minutes=1))
    checks = []
    original = run.deletions.apply

    def arrive(session):
        checks.append(session.pending)
        if len(checks) == 3:
            mirrored.rows.filter(pk=account).update(phone="2")
        original(session)

    monkeypatch.setattr(run.deletions, "apply", arrive)

    assert mirrored.verify("full").is_right
    assert mirrored.differences() == []
    assert checks[0] == [account]
