"""A redelivery is a job: its deliveries are fixed by the request, sent in steps, and continued by
other workers."""

import pytest
from django.db import transaction
from django.db.models.expressions import RawSQL
from django.utils import timezone

from audit.jobs.claim import SENT_AGAIN, ClaimLost
from audit.models import AuditLogFilter, OperatorAction
from cdcproject.celery import app
from handlers.models import Delivery, Redelivery, RedeliveryTarget
from handlers.redelivery import job
from handlers.redelivery.job import (
    MOST_TRIES,
    RedeliveryClaim,
    cancel,
    run,
    start_due,
    take_up,
    work,
)
from handlers.redelivery.request import (
    PRUNED,
    RedeliveryRequest,
    Row,
    TooMany,
    Verdict,
    counts_of,
    request_matching,
)
from handlers.redelivery.start import begin, claimed, preview
from tests.clock import a_moment_ago
from tests.commands.running import record
from tests.redelivering import redeliver
from tests.sample_data import ANN, change, make_mapping

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]

ENDLESS = """
WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < 1000000000)
SELECT max(i) FROM numbers
"""


@pytest.fixture
def dead(listener, monkeypatch):
    """Five dead deliveries of five records. Redeliveries run in workers, in steps of two."""
    monkeypatch.setattr("handlers.redelivery.start.AT_ONCE", 0)
    monkeypatch.setattr(job, "ROWS", 2)
    make_mapping(listener, handler="tests.skip")
    record(listener, *(change(records=[f"001{number}"]) for number in range(5)))
    Delivery.objects.update(state="dead", attempts=1)
    return list(Delivery.objects.order_by("id"))


def asked() -> Redelivery:
    return begin(request_matching(AuditLogFilter(state="dead"), ANN), timezone.now())


def states() -> list[str]:
    return list(Delivery.objects.order_by("id").values_list("state", flat=True))


def messages() -> int:
    """Return the number of messages for the job and for deliveries."""
    with app.connection_for_read() as broker:
        return broker.default_channel.client.llen("cdc")


def test_what_takes_too_long_to_pick_is_not_waited_for_and_leaves_nothing(dead, monkeypatch):
    monkeypatch.setattr("handlers.redelivery.start.LONGEST", 0.05)
    monkeypatch.setattr("handlers.redelivery.start.COUNT_SECONDS", 0.05)
    endless = RedeliveryRequest(ANN, Delivery.objects.filter(pk__in=RawSQL(ENDLESS, ())))

    assert preview(endless)[0] is None
    with pytest.raises(TooMany):
        begin(endless, timezone.now())

    assert not Redelivery.objects.exists()
    monkeypatch.setattr("handlers.redelivery.start.LONGEST", 60)
    assert begin(RedeliveryRequest(ANN, Delivery.objects.all()), timezone.now()).total == 5


def test_what_is_asked_for_is_fixed_in_a_few_queries(dead, django_assert_max_num_queries):
    with django_assert_max_num_queries(11):
        redelivery = asked()
    Delivery.objects.filter(pk=dead[0].pk).update(state="succeeded")
    run(redelivery.pk)
    Delivery.objects.filter(pk=dead[0].pk).update(state="dead")

    redelivery.refresh_from_db()
    assert (redelivery.state, redelivery.total, redelivery.done) == ("done", 5, 5)
    assert redelivery.tries == 0  # it came further
    assert counts_of(redelivery) == {
        Row("tests.skip", "dead", Verdict.SENT_AGAIN): 4,
        Row("tests.skip", "succeeded", Verdict.ENDED_SINCE): 1,
    }
    run(redelivery.pk)
    assert states() == ["dead", *["queued"] * 4]


def test_pruned_changes_are_named(dead):
    redelivery = asked()
    Delivery.objects.filter(pk__in=[dead[1].pk, dead[4].pk]).delete()

    run(redelivery.pk)

    redelivery.refresh_from_db()
    assert counts_of(redelivery)[Row("", "", Verdict.NOT_POSSIBLE, PRUNED)] == 2
    assert (redelivery.state, redelivery.done, redelivery.count) == ("done", 5, 3)


def test_a_slice_that_ends_leaves_the_rest_to_another(dead):
    redelivery = asked()
    claim = RedeliveryClaim.of(redelivery.pk, timezone.now())
    steps = iter([False, True])

    assert not work(claim, is_over=lambda: next(steps))

    assert sorted(states()) == ["dead"] * 3 + ["queued"] * 2
    claim.release(timezone.now())
    run(redelivery.pk)
    assert states() == ["queued"] * 5
    redelivery.refresh_from_db()
    assert (redelivery.count, redelivery.state) == (5, "done")
    assert not RedeliveryTarget.objects.exists()


def test_one_is_done_by_one_worker_at_a_time(dead):
    redelivery = asked()
    first = RedeliveryClaim.of(redelivery.pk, timezone.now())
    assert RedeliveryClaim.of(redelivery.pk, timezone.now()) is None
    run(redelivery.pk)
    assert states() == ["dead"] * 5

    # Taken for dead, the first comes back when a second has begun.
    Redelivery.objects.update(claimed_until=a_moment_ago())
    second = RedeliveryClaim.of(redelivery.pk, timezone.now())
    with pytest.raises(ClaimLost):
        work(first)

    assert states() == ["dead"] * 5
    assert work(second)
    redelivery.refresh_from_db()
    assert (redelivery.count, redelivery.done, states()) == (5, 5, ["queued"] * 5)


@pytest.mark.parametrize(("budget", "run_seconds"), [(0, 900), (120, 0)])
def test_a_task_ends_within_the_time_that_a_run_has_and_another_goes_on(
    dead, monkeypatch, settings, budget, run_seconds
):
    monkeypatch.setattr("handlers.redelivery.job.BUDGET", budget)
    settings.CDC_RUN_SECONDS = run_seconds
    redelivery = asked()
    before = messages()

    run(redelivery.pk)

    redelivery.refresh_from_db()
    assert (redelivery.done, states()) == (0, ["dead"] * 5)
    assert messages() == before + 1


def test_two_of_the_same_deliveries_each_look_at_all_of_them(dead):
    first, second = asked(), asked()

    run(first.pk)
    run(second.pk)

    assert states() == ["queued"] * 5
    ended = Redelivery.objects.order_by("pk").values_list("state", "count", "done")
    assert list(ended) == [("done", 5, 5), ("done", 0, 5)]


def test_a_redelivery_without_a_worker_is_started_again_when_due(dead):
    redelivery = asked()
    assert messages() == 1
    assert start_due(timezone.now()) == 0

    later = timezone.now() + SENT_AGAIN * 2
    assert start_due(later) == 1
    assert start_due(later) == 0
    assert messages() == 2

    RedeliveryClaim.of(redelivery.pk, later)
    assert start_due(later) == 0


def test_one_that_comes_no_further_is_given_up_and_taken_up_by_an_operator(dead):
    redelivery = asked()
    for _ in range(MOST_TRIES):
        assert RedeliveryClaim.of(redelivery.pk, timezone.now())
        Redelivery.objects.update(claimed_until=a_moment_ago())
    assert RedeliveryClaim.of(redelivery.pk, timezone.now()) is None
    redelivery.refresh_from_db()
    assert redelivery.state == "failed"
    assert "without progress" in redelivery.error
    assert not cancel(redelivery.pk, ANN, "", timezone.now())

    assert take_up(redelivery.pk, ANN, "the disk has room again", timezone.now())
    run(redelivery.pk)

    assert states() == ["queued"] * 5
    assert OperatorAction.objects.get(action="take_up").reason == "the disk has room again"
    assert not take_up(redelivery.pk, ANN, "", timezone.now())


def test_cancelled_in_the_middle_it_stops_with_what_was_sent(dead):
    redelivery = asked()
    claim = RedeliveryClaim.of(redelivery.pk, timezone.now())

    with pytest.raises(ClaimLost):
        work(claim, watch=lambda row: cancel(row.pk, ANN, "", timezone.now()))

    redelivery.refresh_from_db()
    assert (redelivery.state, redelivery.done, redelivery.count) == ("cancelled", 2, 2)
    assert sorted(states()) == ["dead"] * 3 + ["queued"] * 2
    assert OperatorAction.objects.get(action="cancel").details == {"not_sent": 3}


def test_nothing_is_done_at_once(listener):
    redelivery, counts = redeliver(
        request_matching(AuditLogFilter(state="dead"), ANN), timezone.now()
    )

    assert (redelivery.state, redelivery.total, counts) == ("done", 0, {})


@pytest.mark.parametrize("start", [begin, claimed])
def test_it_is_not_started_inside_a_transaction(dead, start):
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable atomic block"):
        start(RedeliveryRequest(ANN, Delivery.objects.filter(state="dead")), timezone.now())
