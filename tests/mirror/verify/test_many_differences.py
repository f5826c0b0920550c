"""A verification that finds more than it stores or checks again does not say that all is right."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from mirror import kinds, runs
from mirror.verify import deletions, session

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]


def test_deletions_are_refused_by_their_number_even_if_few_differences_are_stored(
    mirrored, org, monkeypatch
):
    monkeypatch.setattr(session, "MOST_STORED", 5)
    monkeypatch.setattr(deletions, "MANY", 8)
    monkeypatch.setattr(deletions, "PART", 0.5)
    ids = list(mirrored.rows.filter(is_deleted=False).values_list("pk", flat=True))
    org.hard_delete("Account", ids)

    run = mirrored.verify("ids")

    assert not run.is_right
    assert run.report["refused_deletions"] == len(ids)
    assert run.report["differences"] == len(ids)
    assert not mirrored.rows.filter(is_deleted=True, pk__in=ids).exists()
    assert mirrored.incident() is not None
    assert mirrored.run("repair", accept_deletions=True).is_right
    assert mirrored.rows.filter(is_deleted=True, pk__in=ids).count() == len(ids)


def test_a_difference_that_is_neither_stored_nor_repaired_is_counted(
    mirrored, accounts, monkeypatch
):
    monkeypatch.setattr(session, "MOST_STORED", 1)
    tomorrow = timezone.now() + timedelta(days=1)  # no read is certainly later than these rows
    mirrored.rows.filter(pk__in=accounts[:3]).update(phone="wrong", synced_at=tomorrow)

    run = mirrored.verify("full")

    assert not run.is_right
    assert "1 difference is not repaired. 2 other records differ and were not repaired" in run.error


def test_records_that_are_too_many_to_check_again_are_counted(mirrored, accounts, monkeypatch):
    monkeypatch.setattr(session, "MOST_PENDING", 2)
    mirrored.rows.filter(pk__in=accounts[:5]).update(phone="wrong")
    mirrored.catch_up(timezone.now() - timedelta(days=1))  # changes may be on their way
    run, _ = runs.request(mirrored.mirror, "verify", timezone.now(), options={"depth": "full"})
    while run.cursor.get("pending") is None and not run.is_over:
        kinds.work(run.pk)
        run.refresh_from_db()
    mirrored.catch_up()
    while not run.is_over:
        kinds.work(run.pk)
        run.refresh_from_db()

    assert not run.is_right
    assert len(mirrored.differences()) == 2
    assert "3 other records had changes that had not arrived yet" in run.error
