"""Loads an object's records with a query job of Bulk API 2.0.

    create the job → wait until it is complete → read page by page → compare the counts

The job's id and the locator of the next page are stored, so that a load that is killed continues
with the page that it was reading. A job that fails, is stuck, expires or has other records than it
counted is given up, and a few times another one is created.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cached_property

import structlog
from django.conf import settings

from audit.jobs.claim import ClaimLost
from listeners import crash_points
from listeners.clock import database_clock
from listeners.salesforce.bulk.client import BulkClient
from listeners.salesforce.bulk.errors import JobFailed, ResultsExpired
from listeners.salesforce.bulk.jobs import QueryJob
from listeners.salesforce.errors import SalesforceError
from mirror import budget
from mirror.load.read_ahead import ReadAhead
from mirror.load.work import Work
from mirror.load.writer import CHUNK
from mirror.query_jobs import abort, client_of
from mirror.runs import Later, RunFailed

log = structlog.get_logger(__name__)

#: Pages of a load with many records, which get larger for that, up to MOST records.
PAGES, MOST = 500, 100_000
#: Jobs that one load creates before it fails.
JOBS = 3
#: Pauses between the first looks at a job, in seconds; small jobs take no longer.
_LOOKS = (0.2, 0.5, 1.0, 2.0)
_LONGEST_LOOK = 30.0


class BulkLoad:
    """The job's part of a load. Raises BulkUnsupported and BulkLimit when REST must be used."""

    def __init__(self, work: Work, *, deleted: bool = True) -> None:
        """`deleted`: read the records in the Recycle Bin too."""
        self._work, self._deleted = work, deleted

    @cached_property
    def client(self) -> BulkClient:
        listener = self._work.mirror.listener
        return client_of(listener, self._work.cursor.get("api_version", listener.api_version))

    def run(self) -> Later | None:
        """Continue the job; return None when every record was written."""
        if self._work.cursor.get("is_checked"):
            return None
        try:
            job = self._job()
            if isinstance(job, Later):
                return job
            if (pause := self._read(job)) is not None:
                return pause
            self._check(job)
        except (JobFailed, ResultsExpired) as failure:
            self._give_up(str(failure))
            return Later()
        self._work.save(is_checked=True)  # before: a run that is resumed does not miss the job
        with suppress(SalesforceError):
            self.client.delete(job.id)
        return None

    def _job(self) -> QueryJob | Later:
        """Return the complete job, or wait for it."""
        work = self._work
        if "job" not in work.cursor:
            fields = work.fields
            job = self.client.create(
                fields.query if self._deleted else fields.live_query,
                deleted=self._deleted or fields.has_archive,
            )
            crash_points.reach("job_created")
            try:
                self._keep(job)
            except ClaimLost:  # no other process knows of the job
                with suppress(SalesforceError):
                    abort(self.client, job.id)
                raise
        for job in self._looks(work.cursor["job"]):
            if job.is_complete:
                return job
            if not job.is_running:
                raise JobFailed(job.id, job.state, job.error)
            self._check_progress(job)
        waited = database_clock.now() - datetime.fromisoformat(work.cursor["seen"][1])
        so_far = f", {job.records:,} records so far" if job.records else ""
        seconds = max(2.0, min(_LONGEST_LOOK, waited.total_seconds() / 4))
        return Later(seconds, f"the query job {job.id} in Salesforce ({job.state}{so_far})")

    def _keep(self, job: QueryJob) -> None:
        """Store a job that was created."""
        work, now = self._work, database_clock.now().isoformat()
        work.save(
            job=job.id,
            read_at=job.created_at,
            start=min(job.created_at, work.cursor.get("start", job.created_at)),
            api_version=work.cursor.get("api_version", work.mirror.listener.api_version),
            jobs=work.cursor.get("jobs", 0) + 1,
            locator="", rows=0, done=0,
            created=now, seen=[-1, now],
        )  # fmt: skip

    def _looks(self, job_id: str) -> Iterator[QueryJob]:
        yield self.client.job(job_id)
        for seconds in _LOOKS:
            time.sleep(seconds)
            yield self.client.job(job_id)

    def _check_progress(self, job: QueryJob) -> None:
        """Abort a job that has made no progress for too long. Raises JobFailed."""
        now = database_clock.now()
        records, since = self._work.cursor["seen"]
        if (job.records or 0) > records:
            self._work.save(seen=[job.records or 0, now.isoformat()], total=job.records)
            return
        deadline = timedelta(seconds=settings.CDC_BULK_STUCK_SECONDS)
        if now - datetime.fromisoformat(since) > deadline:
            with suppress(SalesforceError):
                self.client.abort(job.id)
            raise JobFailed(
                job.id, "Aborted", f"it made no progress for {deadline.total_seconds():,.0f} s"
            )

    def _read(self, job: QueryJob) -> Later | None:
        """Write the pages from the stored locator on; return a pause if the slice is over."""
        work, names = self._work, self._work.fields.names
        while not work.cursor.get("is_read"):
            rows = work.cursor["rows"]
            most = max(settings.CDC_BULK_PAGE_ROWS, min(MOST, (job.records or 0) // PAGES))
            locator = work.cursor["locator"]
            with (
                self.client.page(job.id, names, locator=locator, most=most) as page,
                ReadAhead(map(work.writer.convert, page.chunks(CHUNK))) as chunks,
            ):
                written = rows
                for chunk in chunks:
                    work.writer.write_rows(chunk, work.cursor["read_at"], chunks.begin)
                    written += len(chunk)
                    # Not `keep`: a page that is never complete is no progress.
                    work.claim.extend(done=written, total=job.records)
                    crash_points.reach("rows_written")
            work.save(
                locator=page.next_locator,
                is_read=not page.next_locator,
                rows=rows + page.rows,
                done=rows + page.rows,
                total=job.records,
            )
            crash_points.reach("page_read")
            if work.cursor["is_read"]:
                break
            if (pause := budget.pause(self.client)) is not None:
                return pause
            if work.claim.is_slice_over:
                return Later()
        return None

    def _check(self, job: QueryJob) -> None:
        """Compare the records read with those that Salesforce processed. Raises JobFailed."""
        read = self._work.cursor["rows"]
        if job.records != read:
            counted = "an unknown number of" if job.records is None else f"{job.records:,}"
            raise JobFailed(
                job.id, job.state, f"it has {counted} records, but its pages have {read:,}"
            )

    def _give_up(self, reason: str) -> None:
        """Forget the job, so that another one is created. Raises RunFailed after a few jobs."""
        work = self._work
        log.warning("query job given up", mirror=work.mirror.model, reason=reason)
        if work.cursor["jobs"] >= JOBS:
            raise RunFailed(
                f"The load of {work.mirror.salesforce_object} is not complete: {JOBS} query jobs "
                f"were tried. {reason} Load again later: manage.py mirror load {work.mirror.model}"
            )
        for name in ("job", "is_read"):
            work.cursor.pop(name, None)
        work.save(locator="", rows=0, done=0)
