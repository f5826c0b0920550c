"""After a worker is killed in the middle of a load, another one continues with its query job."""

import pytest
from django.utils import timezone

from mirror import runs
from mirror.models import MirrorRun
from tests.clock import a_moment_ago
from tests.crash_points import at
from tests.mirror.crm.models import Account
from tests.mirror.load.loading import load_of, mirror_of, work_on
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.anywhere

ROWS = 45


@pytest.fixture
def org():
    with SimulatorProcess("--connect-timeout", "5") as process:
        process.create("Account", *({"Name": f"Account {number}"} for number in range(ROWS)))
        yield process


def calls_of(org, path):
    return [call for call in org.api_requests() if call["path"].endswith(path)]


def jobs_of(org):
    """Return the requests that created query jobs."""
    return [call for call in calls_of(org, "/jobs/query") if call["method"] == "POST"]


@pytest.mark.parametrize("point", ["rows_written:kill-all:3", "page_read:kill-all:3"])
def test_trap_locator_a_killed_load_continues_with_the_same_page(org, processes, point):
    worker = processes.worker(**at(point))
    mirror = mirror_of(org)
    worker.wait()
    run = load_of(mirror)
    killed = dict(run.cursor)
    assert (run.state, mirror.runs.filter(state="running").count()) == ("running", 1)
    assert killed["locator"]
    assert killed["rows"] in (20, 30)

    MirrorRun.objects.update(claimed_until=a_moment_ago(), due_at=a_moment_ago())
    assert runs.start_due(timezone.now()) == 1
    run = work_on(run)

    assert (run.state, run.done, run.error) == ("done", ROWS, "")
    assert run.cursor["job"] == killed["job"]
    assert Account.objects.count() == ROWS
    assert len(jobs_of(org)) == 1


def test_a_load_that_is_killed_before_its_job_is_stored_creates_another(org, processes):
    worker = processes.worker(**at("job_created:kill-all"))
    mirror = mirror_of(org)
    worker.wait()
    run = load_of(mirror)
    assert "job" not in run.cursor

    MirrorRun.objects.update(claimed_until=a_moment_ago())
    run = work_on(run)

    assert (run.state, run.done) == ("done", ROWS)
    assert len(jobs_of(org)) == 2
