"""A comparison whose parts are slow gets on, or says that it does not."""

import pytest
from django.utils import timezone

from audit.models import Incident, Reconciliation
from consumer.reconciliation import compare, schedule
from consumer.reconciliation import job as reconciliation_job
from consumer.reconciliation.claim import ReconciliationClaim
from consumer.reconciliation.progress import Progress
from tests.clock import a_moment_ago
from tests.consumer.hearing import hear
from tests.consumer.losing import Entity, run
from tests.simulator.process import SimulatorProcess

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]


@pytest.fixture(scope="module")
def org():
    with SimulatorProcess("--connect-timeout", "5") as running_org:
        yield running_org


@pytest.fixture
def entity(org):
    made = Entity(org)
    made.create(Name="heard")
    hear(org, made.listener)
    return made


def lose_claim(job: Reconciliation) -> None:
    """Claim the comparison, and keep the claim for too long."""
    assert ReconciliationClaim.of(job.pk, timezone.now())
    Reconciliation.objects.filter(pk=job.pk).update(claimed_until=a_moment_ago())


def test_claims_that_expire_again_and_again_are_failures(entity):
    job = entity.lose()
    for _ in range(reconciliation_job.MOST_ATTEMPTS):
        lose_claim(job)

    reconciliation_job.run(job.pk)

    job.refresh_from_db()
    assert job.state == "failed"
    failure = Incident.objects.get(listener=entity.listener, kind="reconciliation")
    assert "one part took longer than 5 minutes" in failure.summary

    assert schedule.retry(entity.listener, timezone.now()) == 1
    run(job)


def test_a_claim_that_expired_once_is_forgotten_when_the_next_gets_further(entity):
    job = entity.lose()
    lose_claim(job)
    lose_claim(job)

    job = run(job)

    assert job.attempts == 0


def test_a_claim_is_renewed_between_the_reads_of_one_part(entity):
    entity.create(Name="lost")
    job = entity.lose()
    steps: list[int] = []

    compare.compare(
        job,
        Progress(),
        lambda _: steps.append(-1),
        renew=lambda: steps.append(0),
    )

    assert steps[:3] == [0, 0, -1]
    assert len(entity.added()) == 1


def test_pages_without_a_row_to_compare_renew_the_claim_and_spare_requests(entity, monkeypatch):
    job = entity.lose()
    renewed: list[int] = []

    def pages(rest, *_, **__):
        yield []
        yield []
        rest.usage = (95_000, 100_000)
        yield []

    monkeypatch.setattr(compare, "rows", pages)
    with pytest.raises(compare.RequestsUsedUp):
        compare.compare(job, Progress(), lambda _: None, renew=lambda: renewed.append(0))

    assert len(renewed) == 2


def test_a_second_that_is_compared_again_and_again_is_counted_once(entity, monkeypatch):
    """Its process dies twice, the second time before it is where the first one was."""
    entity.create(*[{"Name": f"{n}"} for n in range(4)])
    job = entity.lose()
    monkeypatch.setattr(compare, "CHUNK", 1)
    for pages in (4, 1):
        left = iter(range(pages))

        def die(_: Progress, left=left) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            reconciliation_job._work(ReconciliationClaim.of(job.pk, timezone.now()), die)
        Reconciliation.objects.update(claimed_until=a_moment_ago())

    assert run(job).compared == 5


def test_many_records_of_one_second_do_not_repeat_in_every_slice(entity, monkeypatch):
    entity.create(*[{"Name": f"{n}"} for n in range(4)])
    job = entity.lose()
    monkeypatch.setattr(compare, "CHUNK", 1)

    for _ in range(10):
        reconciliation_job.run(job.pk, budget=-1)

    job.refresh_from_db()
    assert (job.state, job.compared, job.added) == ("done", 5, 4)
