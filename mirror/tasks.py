"""The Celery tasks of mirrors."""

from celery import shared_task

from mirror import kinds, query_jobs, runs
from mirror.apply import upkeep


@shared_task(name=runs.TASK)
def run_mirror_run(*, run_id: int) -> None:
    """Work on a run of a mirror for a slice of time."""
    kinds.work(run_id)


@shared_task(name=upkeep.TASK)
def run_mirror_upkeep(*, mirror_id: int) -> None:
    """Search for gaps, read dirty records and purge tombstones of a mirror."""
    upkeep.work(mirror_id)


@shared_task(name=query_jobs.TASK)
def abort_mirror_job(*, listener_id: int, job_id: str, api_version: str) -> None:
    """Abort the query job of a run that was cancelled, or whose mirror was removed."""
    query_jobs.work(listener_id, job_id, api_version)
