"""A background job is run by one process at a time, whatever happens to the processes."""

import signal
from contextlib import suppress
from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import Reconciliation
from handlers.models import Redelivery
from tests.clock import a_moment_ago, clock_off_by
from tests.nursery import piped
from tests.processes import same_database
from tests.servers import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.anywhere]

#: How long a claim holds: until the test ends it.
SECONDS = 600


class Claimant:
    """A `tests.claiming_process`."""

    def __init__(self, job: Redelivery | Reconciliation, **environment: str) -> None:
        asked = ("-m", "tests.claiming_process", job._meta.label, str(job.pk), str(SECONDS))
        self._process = piped(*asked, **same_database(), **environment)

    def ask(self, command: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def answer(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for end in (self._process.stdin, self._process.stdout):
            assert end
            with suppress(BrokenPipeError):
                end.close()


@pytest.fixture(params=["redelivery", "comparison"])
def job(request, listener):
    now = timezone.now()
    if request.param == "redelivery":
        return Redelivery.objects.create(requested_by="ann", requested_at=now, due_at=now)
    window = {"window_end": now, "due_at": now, "created_at": now}
    return Reconciliation.objects.create(listener=listener, reason="asked", **window)


@pytest.fixture
def claimants(job):
    """Four processes, one on a machine whose clock is ahead and one whose clock is behind."""
    clocks = [{}, {}, clock_off_by(hours=1), clock_off_by(hours=-1)]
    made = [Claimant(job, **clock) for clock in clocks]
    assert [one.answer() for one in made] == ["ready"] * len(made)
    yield made
    for one in made:
        one.kill()


def taken_by(claimants: list[Claimant]) -> list[Claimant]:
    """Return those that get the claim when all of them try at once."""
    for one in claimants:
        one.ask("take")
    answers = {one: one.answer() for one in claimants}
    assert set(answers.values()) <= {"claimed", "another's"}
    return [one for one, answer in answers.items() if answer == "claimed"]


def end_claim(job: Redelivery | Reconciliation) -> None:
    """Let the time of the claim pass, which no claimant's own clock may have made longer."""
    job.refresh_from_db()
    assert job.claimed_until is not None
    assert job.claimed_until < timezone.now() + timedelta(seconds=SECONDS + 60)
    type(job)._default_manager.filter(pk=job.pk).update(claimed_until=a_moment_ago())


def successor(claimants: list[Claimant]) -> Claimant:
    found: list[Claimant] = []

    def is_taken() -> bool:
        found.extend(taken_by(claimants))
        return bool(found)

    wait_for(is_taken, what="the end of the claim")
    assert len(found) == 1
    return found[0]


def test_one_of_many_gets_the_claim_and_another_one_follows_when_it_is_killed(job, claimants):
    [first] = taken_by(claimants)
    first.kill()
    others = [one for one in claimants if one is not first]
    assert taken_by(others) == []

    end_claim(job)
    second = successor(others)

    second.ask("extend")
    assert second.answer() == "extended"
    job.refresh_from_db()
    assert job.state == "running"


def test_one_that_was_only_paused_finds_its_claim_lost_and_writes_nothing(job, claimants):
    [first] = taken_by(claimants)
    first.signal(signal.SIGSTOP)
    end_claim(job)
    second = successor([one for one in claimants if one is not first])
    job.refresh_from_db()
    held_until = job.claimed_until

    first.signal(signal.SIGCONT)
    first.ask("extend")

    assert first.answer() == "lost"
    job.refresh_from_db()
    assert job.claimed_until == held_until
    second.ask("extend")
    assert second.answer() == "extended"
