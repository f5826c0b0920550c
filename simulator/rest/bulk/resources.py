"""The resources below `…/jobs/query`."""

import base64
import binascii
from collections.abc import Mapping
from functools import partial

from simulator.faults import Faults
from simulator.org.records import JsonObject
from simulator.query_jobs import DELIMITERS, LINE_ENDINGS, OPERATIONS, Jobs, QueryJob
from simulator.rest.archived import unarchived
from simulator.rest.bulk.candidates import candidates
from simulator.rest.bulk.query import parsed
from simulator.rest.bulk.results import Result
from simulator.rest.errors import RestError
from simulator.rest.request import RestAnswer, RestRequest
from simulator.rest.row_scan import Scan

JOBS_PER_PAGE = 1_000
PAGES_AT_ONCE = 5
#: Pages of at least so many rows are stored, so that they can be sent again at once.
STORED_ROWS = 5_000
LAST = "null"


class QueryJobs:
    """The requests for query jobs."""

    def __init__(self, jobs: Jobs, page_size: int) -> None:
        self._jobs = jobs
        self._page_size = page_size

    def create(self, request: RestRequest) -> RestAnswer:
        """`POST …/jobs/query`."""
        body = request.json()
        operation = _choice(body, "operation", "", OPERATIONS)
        _choice(body, "contentType", "CSV", ("CSV",))
        delimiter = _choice(body, "columnDelimiter", "COMMA", DELIMITERS)
        line_ending = _choice(body, "lineEnding", "LF", LINE_ENDINGS)
        org, now = request.sim.org, request.sim.clock.now()
        self._check_limit(request, now)
        query, entity, names = parsed(org, _query(body))
        has_all = operation == "queryAll"
        query, spelt = (query, names) if has_all else unarchived(query, entity, names)
        snapshot = org.snapshot_of(entity, deleted=has_all)
        found = candidates(snapshot, Scan(org, entity, query, spelt, request.version))
        endings = DELIMITERS[delimiter], LINE_ENDINGS[line_ending]
        job = QueryJob(
            job_id=self._jobs.new_id(),
            operation=operation,
            object_name=entity.name,
            api_version=request.version,
            delimiter=delimiter,
            line_ending=line_ending,
            created_at=now,
            result=Result(query, spelt, snapshot, entity, org.view, *endings, found),
        )
        spoil(job, request.sim.faults)
        self._jobs.start(job)
        return RestAnswer(job.line())

    def _check_limit(self, request: RestRequest, now: int) -> None:
        most = request.sim.options.daily_bulk_jobs
        if self._jobs.created_since(now) >= most:
            message = f"Max bulk v2 query jobs ({most}) per 24 hrs has been reached"
            raise RestError("LIMIT_EXCEEDED", message)

    def list(self, request: RestRequest) -> RestAnswer:
        """`GET …/jobs/query`, oldest first."""
        self._jobs.forget_expired(request.sim.clock.now())
        jobs = list(self._jobs.by_id.values())
        start = _place(request.query.get("queryLocator", ""))
        end = start + JOBS_PER_PAGE
        following = f"{request.url}?queryLocator={_locator(end)}" if end < len(jobs) else None
        lines = [{**job.line(), "jobType": "V2Query"} for job in jobs[start:end]]
        return RestAnswer({"done": not following, "records": lines, "nextRecordsUrl": following})

    def read(self, request: RestRequest) -> RestAnswer:
        """`GET …/jobs/query/{id}`."""
        return RestAnswer(self._job(request).details())

    def abort(self, request: RestRequest) -> RestAnswer:
        """`PATCH …/jobs/query/{id}` with the state Aborted."""
        job = self._job(request)
        if request.json().get("state") != "Aborted":
            raise RestError("API_ERROR", "A query job can only be set to the state Aborted")
        if not job.is_running:
            message = f"Aborting already {job.state} Job not allowed"
            raise RestError("INVALIDJOBSTATE", message)
        job.state, job.changed_at = "Aborted", request.sim.clock.now()
        return RestAnswer(job.line())

    def delete(self, request: RestRequest) -> RestAnswer:
        """`DELETE …/jobs/query/{id}`."""
        job = self._job(request)
        if job.is_running:
            raise RestError("API_ERROR", f"Job {job.job_id} is not terminated")
        del self._jobs.by_id[job.job_id]
        return RestAnswer(status=204)

    def results(self, request: RestRequest) -> RestAnswer:
        """`GET …/jobs/query/{id}/results?locator=…&maxRecords=…`."""
        job = self._finished(request)
        result, faults = job.result, request.sim.faults
        start = _place(request.query.get("locator", ""))
        count = min(_count(request, self._page_size), max(result.count - start, 0))
        end = start + count
        headers = {
            "Content-Type": "text/csv;charset=UTF-8",
            "Sforce-NumberOfRecords": str(count),
            "Sforce-Locator": _locator(end) if end < result.count else LAST,
        }
        if short := faults.take(("short_page",), target="bulk", entity=job.object_name):
            count = max(count - int(short.options["rows"]), 0)
        write = partial(result.page, start, count)
        if count < STORED_ROWS:
            return RestAnswer(headers=headers, csv=write())
        page = request.sim.pages.page((*result.content, start, count), write)
        return RestAnswer(headers=headers, csv=page, is_compressed=True)

    def result_pages(self, request: RestRequest) -> RestAnswer:
        """`GET …/jobs/query/{id}/resultPages?locator=…`: the locations of up to five pages."""
        job = self._finished(request)
        start, rows = _place(request.query.get("locator", "")), job.result.count
        stop = start + PAGES_AT_ONCE * self._page_size
        places = range(start, min(max(rows, 1), stop), self._page_size)
        own = request.url.rpartition("/")[0]
        pages = [{"resultUrl": f"{own}/results?locator={_locator(place)}"} for place in places]
        answer: JsonObject = {"resultPages": pages, "done": stop >= rows}
        if not answer["done"]:
            answer["nextRecordsUrl"] = f"{own}/resultPages?locator={_locator(stop)}"
        return RestAnswer(answer)

    def _job(self, request: RestRequest) -> QueryJob:
        self._jobs.forget_expired(request.sim.clock.now())
        job_id = request.path[2]
        for known_id, job in self._jobs.by_id.items():
            if job_id in (known_id, known_id[:15]):
                return job
        raise RestError("NOT_FOUND")

    def _finished(self, request: RestRequest) -> QueryJob:
        """Return the job, which must be complete, and of the version of the request."""
        job = self._job(request)
        if job.api_version != request.version:
            message = (
                f"The API version of the request, {request.version}, is not the one that the job "
                f"was created with, {job.api_version}"
            )
            raise RestError("API_VERSION_MISMATCH", message)
        if job.state != "JobComplete":
            raise RestError("INVALIDJOBSTATE", f"Job {job.job_id} is {job.state}")
        return job


def _query(body: JsonObject) -> str:
    text = body.get("query")
    if not isinstance(text, str) or not text.strip():
        raise RestError("API_ERROR", "The query must not be empty")
    return text


def spoil(job: QueryJob, faults: Faults) -> None:
    """Apply the waiting faults to a new job."""
    if stuck := faults.take(("job_stuck",), target="bulk", entity=job.object_name):
        job.stuck_in = stuck.options["state"]
    if failed := faults.take(("job_failed",), target="bulk", entity=job.object_name):
        job.is_failing, job.failure = True, failed.options["error_message"]
    if wrong := faults.take(("job_miscount",), target="bulk", entity=job.object_name):
        job.extra_count = int(wrong.options["records"])


def _choice(
    body: JsonObject, name: str, default: str, known: Mapping[str, str] | tuple[str, ...]
) -> str:
    value = body.get(name) or default
    if value not in known:
        message = f"{name} must be one of {', '.join(known)}, not {value!r}"
        raise RestError("API_ERROR", message)
    return str(value)


def _count(request: RestRequest, default: int) -> int:
    text = request.query.get("maxRecords", "")
    if text and (not text.isdecimal() or int(text) < 1):
        raise RestError("API_ERROR", f"maxRecords must be a number of at least 1, not {text!r}")
    return int(text) if text else default


def _locator(place: int) -> str:
    return base64.urlsafe_b64encode(str(place).encode()).decode().rstrip("=")


def _place(locator: str) -> int:
    """Return the place that a locator stands for. Raises RestError for an invalid one."""
    if not locator:
        return 0
    try:
        place = base64.urlsafe_b64decode(locator + "=" * (-len(locator) % 4)).decode()
    except (binascii.Error, ValueError):
        place = ""
    if not place.isdecimal():
        raise RestError("API_ERROR", f"Invalid locator {locator!r}")
    return int(place)
