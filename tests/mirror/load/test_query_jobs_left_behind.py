"""Runs that are cancelled, or whose mirror is removed, leave no query job in Salesforce."""

from datetime import timedelta

import pytest
from django.utils import timezone

from listeners import crash_points
from mirror import kinds, query_jobs, service, tasks
from mirror.sweeps import request_ids
from tests.mirror.load.loading import load_of, loaded, mirror_of, work_on
from tests.mirror.sent_tasks import sent
from tests.sample_data import ANN

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]


@pytest.fixture
def mirror(org):
    org.create("Account", *({"Name": f"Account {number}"} for number in range(25)))
    return mirror_of(org)


def stuck_load(org, mirror):
    org.fault("job_stuck", times=None)
    return work_on(load_of(mirror), until="query job"), ()


def stuck_verification(org, mirror):
    loaded(mirror)
    org.fault("job_stuck", times=None)
    run = service.request_run(mirror, "verify", {"depth": "full"}, ANN)
    mirror.runs.filter(pk=run.pk).update(cursor={"steps": ["count"]})  # the records are counted
    return work_on(run, until="query job"), ("bulk",)


def cancel(run):
    assert service.cancel_run(run, ANN)


def remove(run):
    service.remove(run.mirror, ANN)


def run_tasks():
    """Run the tasks that were sent to abort jobs, as a worker does."""
    for arguments in sent(query_jobs.TASK):
        tasks.abort_mirror_job(**arguments)


def methods(org, job_id):
    return [call["method"] for call in org.api_requests() if call["path"].endswith(job_id)]


@pytest.mark.parametrize("end", [cancel, remove])
@pytest.mark.parametrize("stuck", [stuck_load, stuck_verification])
def test_its_job_is_aborted_and_deleted(org, mirror, stuck, end):
    run, keys = stuck(org, mirror)
    assert "query job" in run.waits_for
    cursor = run.cursor[keys[0]] if keys else run.cursor

    end(run)
    run_tasks()

    assert methods(org, cursor["job"])[-2:] == ["PATCH", "DELETE"]


@pytest.mark.parametrize("end", [cancel, remove])
def test_a_job_that_is_not_stored_yet_is_aborted_by_its_worker(org, mirror, monkeypatch, end):
    run = load_of(mirror)
    created = []

    def reach(point):
        if point == "job_created":
            end(run)
            created.append(point)

    monkeypatch.setattr(crash_points, "reach", reach)
    kinds.work(run.pk)

    assert created
    [job_id] = jobs_of(org)
    assert methods(org, job_id)[-2:] == ["PATCH", "DELETE"]


def test_a_verification_that_starts_over_leaves_no_job(org, mirror):
    run, _ = stuck_verification(org, mirror)

    request_ids(mirror, timezone.now(), None, after=timedelta())
    run_tasks()

    assert methods(org, run.cursor["bulk"]["job"])[-2:] == ["PATCH", "DELETE"]


def jobs_of(org):
    """Return the ids of the jobs that requests named."""
    paths = (call["path"] for call in org.api_requests() if "/jobs/query/" in call["path"])
    return {path.split("/jobs/query/")[1].split("/")[0] for path in paths}


def test_a_job_that_no_longer_exists_is_no_error(org, mirror):
    run = loaded(mirror)

    query_jobs.work(mirror.listener_id, run.cursor["job"], run.cursor["api_version"])
    query_jobs.work(0, run.cursor["job"], run.cursor["api_version"])
