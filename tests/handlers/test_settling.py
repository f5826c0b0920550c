"""Runs are settled: their outcomes are stored even if the database is away for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from audit.db.retry import retry
from handlers.models import Delivery
from handlers.sdk.outcomes import Failed, Succeeded
from handlers.types import Ended
from handlers.worker import settle
from handlers.worker.claim import claim
from handlers.worker.settle import settle_runs
from tests.handlers.bundling import deliver, states

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@contextmanager
def database_that_is_away() -> Iterator[None]:
    def refuse(execute, sql, params, many, context):
        raise OperationalError("the database system is starting up")

    with connection.execute_wrapper(refuse):
        yield


def ended(claims, outcome):
    now = timezone.now()
    return [Ended(one, outcome, now, now) for one in claims]


@pytest.mark.parametrize("count", [1, 3])
def test_a_database_that_is_away_loses_no_claim(listener, monkeypatch, count):
    monkeypatch.setattr(settle, "retry", partial(retry, limit=0))
    ends = ended(claim(deliver(listener, "tests.write_groups", count)), Failed("no"))

    with database_that_is_away(), pytest.raises(OperationalError):
        settle_runs(ends)
    assert states() == ["running"] * count

    assert settle_runs(ends) == ([], [])
    assert states() == ["retrying"] * count


@pytest.mark.parametrize("between", [0, 1])
def test_each_run_keeps_its_times_and_its_worker(listener, between):
    began = timezone.now()
    runs = [
        Ended(
            one,
            Succeeded(),
            began + number * timedelta(seconds=between),
            began + (number * between + 1) * timedelta(seconds=1),
            f'worker "{number * between}", \\ {{ü}}',
        )
        for number, one in enumerate(claim(deliver(listener, "tests.write_groups", 3)))
    ]

    assert settle_runs(runs) == ([], [])

    stored = Delivery.objects.order_by("id").values_list("started_at", "finished_at", "worker")
    assert list(stored) == [(run.started_at, run.finished_at, run.worker) for run in runs]
    assert states() == ["succeeded"] * 3


def test_a_claim_that_another_worker_has_by_now_is_lost_and_the_others_are_settled(listener):
    ids = deliver(listener, "tests.write_groups", 3)
    ends = ended(claim(ids), Succeeded())
    Delivery.objects.filter(pk=ids[1]).update(attempts=2)

    _, lost = settle_runs(ends)

    assert lost == [ends[1]]
    assert states() == ["succeeded", "running", "succeeded"]


@pytest.mark.parametrize("count", [1, 3])
def test_each_failure_is_logged_once_it_is_written_down(listener, caplog, count):
    ids = deliver(listener, "tests.write_groups", count)
    ends = ended(claim(ids), Failed("no"))
    Delivery.objects.filter(pk=ids[-1]).update(attempts=2)  # this claim is lost

    with caplog.at_level("INFO", logger="handlers.worker.run_log"):
        settle_runs(ends)

    told = [one.getMessage() for one in caplog.records if "of delivery" in one.getMessage()]
    assert len(told) == count - 1
    assert all(f"of delivery {pk} failed" in line for pk, line in zip(ids, told, strict=False))


def test_publishing_leaves_a_delivery_that_has_been_tried_since(listener):
    """Its message belongs to an ended attempt: if it were marked, the next attempt would not be
    sent."""
    ids = deliver(listener, "tests.write_groups", 2)
    Delivery.objects.filter(pk__in=ids).update(state="ready", queued_at=None)
    Delivery.objects.filter(pk=ids[0]).update(attempts=1, state="retrying", due_at=timezone.now())

    assert Delivery.objects.mark_queued({0: ids}, timezone.now()) == 1
    assert states() == ["retrying", "queued"]
