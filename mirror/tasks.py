"""The Celery tasks of mirrors."""

from celery import shared_task

from mirror import kinds, runs


@shared_task(name=runs.TASK)
def run_mirror_run(*, run_id: int) -> None:
    """Work on a run of a mirror for a slice of time."""
    kinds.work(run_id)
