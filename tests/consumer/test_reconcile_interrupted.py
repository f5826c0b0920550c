"""A comparison survives being killed, and changes to records while it compares them."""

import itertools

import pytest

from audit.models import Reconciliation
from consumer.reconciliation import job as reconciliation_job
from consumer.reconciliation.evidence import incomplete
from listeners import crash_points
from tests.clock import a_moment_ago
from tests.consumer.hearing import hear
from tests.consumer.losing import run
from tests.simulator.process import SimulatorProcess

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]


@pytest.fixture(scope="module")
def org():
    with SimulatorProcess("--connect-timeout", "5", "--query-batch-size", "200") as running_org:
        yield running_org


def test_a_job_that_was_killed_goes_on_and_counts_nothing_twice(org, entity, monkeypatch):
    entity.create(Name="heard")
    hear(org, entity.listener)
    entity.create(*[{"Name": f"{n}"} for n in range(450)])
    job = entity.lose()
    kill_at(monkeypatch, "added", 2)
    with pytest.raises(Killed):
        reconciliation_job.run(job.pk)
    first = len(entity.added())  # the change that the stream brought may be of either page
    assert first in (199, 200), "the second page was rolled back"
    reconciliation_job.run(job.pk)
    job.refresh_from_db()
    assert (job.state, len(entity.added())) == ("running", first), "who died has it for a while"

    monkeypatch.undo()
    Reconciliation.objects.update(claimed_until=a_moment_ago())
    run(job)

    assert (job.compared, job.present, job.added) == (451, 1, 450)
    assert len(set(entity.added())) == 450


@pytest.mark.parametrize("milestone", ["read", "added"])
def test_what_died_before_its_commit_is_done_again(org, entity, monkeypatch, milestone):
    entity.create(Name="heard")
    hear(org, entity.listener)
    entity.create(*[{"Name": f"{n}"} for n in range(3)])
    job = entity.lose()
    kill_at(monkeypatch, milestone, 1)
    with pytest.raises(Killed):
        reconciliation_job.run(job.pk)
    assert entity.added() == []

    monkeypatch.undo()
    Reconciliation.objects.update(claimed_until=a_moment_ago())
    run(job)

    assert (len(entity.added()), job.added) == (3, 3)


def test_what_the_stream_brings_while_it_is_read_is_not_added_behind_it(org, entity, monkeypatch):
    """A stale read is repeated, and only the values that are still missing are added."""
    [account] = entity.create(Name="Acme", Phone="1", City="Bonn")
    hear(org, entity.listener)
    entity.update(account, Phone="2")
    job = entity.lose()

    def on_read(name: str) -> None:
        if name == "read" and len(entity.entries()) == 1:
            entity.update(account, City="Kiel")
            hear(org, entity.listener)

    monkeypatch.setattr(crash_points, "reach", on_read)
    run(job)

    [created, streamed, added] = entity.entries()
    assert (created.change_type, streamed.source, added.source) == (
        "CREATE",
        "stream",
        "reconcile",
    )
    assert (added.changed_data["Phone"], added.changed_data["City"]) == ("2", "Kiel")


def test_a_record_deleted_while_it_is_compared_is_left_to_its_deletion(org, entity, monkeypatch):
    entity.create(Name="heard")
    hear(org, entity.listener)
    [gone, new] = entity.create({"Name": "gone"}, {"Name": "new"})
    job = entity.lose()
    once = iter([True])
    monkeypatch.setattr(
        "consumer.reconciliation.judge.incomplete",
        deleting_first(lambda: next(once, False) and entity.delete(gone)),
    )

    run(job)

    assert entity.added() == [("CREATE", new)]


def deleting_first(act):
    def find(*arguments):
        found = incomplete(*arguments)
        act()
        return found

    return find


class Killed(BaseException):
    """An exception that nothing catches, like SIGKILL."""


def kill_at(monkeypatch, milestone: str, nth: int) -> None:
    count = itertools.count(1)

    def reach(name: str) -> None:
        if name == milestone and next(count) == nth:
            raise Killed

    monkeypatch.setattr(crash_points, "reach", reach)
