"""Query jobs: their states, and how they run."""

import asyncio
import itertools
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from simulator.org.ids import USER_ID, base62, with_checksum
from simulator.org.records import JsonObject, iso
from simulator.org.rest_form import rest_time

DELIMITERS: Mapping[str, str] = {
    "BACKQUOTE": "`",
    "CARET": "^",
    "COMMA": ",",
    "PIPE": "|",
    "SEMICOLON": ";",
    "TAB": "\t",
}
LINE_ENDINGS: Mapping[str, str] = {"LF": "\n", "CRLF": "\r\n"}
OPERATIONS = ("query", "queryAll")
RUNNING = ("UploadComplete", "InProgress")
DAY_MS = 86_400_000
KEPT_DAYS = 7
STUCK_STEP_SECONDS = 0.05


class Result(Protocol):
    """The rows that a job finds, complete when `select` has ended."""

    @property
    def count(self) -> int: ...

    @property
    def is_ordered(self) -> bool: ...

    @property
    def content(self) -> tuple[Hashable, ...]: ...

    def select(self) -> Iterator[None]: ...

    def page(self, start: int, count: int) -> Iterator[bytes]: ...


@dataclass(slots=True)
class QueryJob:
    """A query job and its result."""

    job_id: str
    operation: str
    object_name: str
    api_version: str
    delimiter: str
    line_ending: str
    created_at: int
    result: Result
    state: str = "UploadComplete"
    changed_at: int = 0
    seconds: float = 0.0
    error_message: str = ""
    #: What faults do to it.
    extra_count: int = 0
    stuck_in: str = ""
    is_failing: bool = False
    failure: str = ""

    @property
    def is_running(self) -> bool:
        return self.state in RUNNING

    def line(self) -> JsonObject:
        """Return the job as it is listed, and as the response to its creation."""
        return {
            "id": self.job_id,
            "operation": self.operation,
            "object": self.object_name,
            "createdById": USER_ID,
            "createdDate": rest_time(iso(self.created_at)),
            "systemModstamp": rest_time(iso(self.changed_at)),
            "state": self.state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(self.api_version),
            "lineEnding": self.line_ending,
            "columnDelimiter": self.delimiter,
        }

    def details(self) -> JsonObject:
        """Return the job as it is answered alone."""
        found: JsonObject = {
            **self.line(),
            "jobType": "V2Query",
            "numberRecordsProcessed": max(self.result.count + self.extra_count, 0),
            "retries": 0,
            "totalProcessingTime": int(self.seconds * 1000),
            "isPkChunkingSupported": not self.result.is_ordered,
        }
        return {**found, "errorMessage": self.error_message} if self.error_message else found


@dataclass(slots=True)
class Jobs:
    """The query jobs of the org, oldest first."""

    seconds: float
    by_id: dict[str, QueryJob] = field(default_factory=dict)
    created: list[int] = field(default_factory=list)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def new_id(self) -> str:
        return with_checksum(f"7505g{base62(next(self._numbers), 10)}")

    def start(self, job: QueryJob) -> None:
        """Add a job and run it."""
        job.changed_at = job.created_at
        self.by_id[job.job_id] = job
        self.created.append(job.created_at)
        task = asyncio.get_running_loop().create_task(self._run(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def forget_expired(self, now: int) -> None:
        """Forget jobs older than seven days, with their results."""
        expired = [
            job_id
            for job_id, job in self.by_id.items()
            if job.created_at < now - KEPT_DAYS * DAY_MS
        ]
        for job_id in expired:
            del self.by_id[job_id]

    def created_since(self, now: int) -> int:
        """Return how many jobs were created within the last day."""
        return sum(at > now - DAY_MS for at in self.created)

    def release(self) -> None:
        """Let the stuck jobs go on."""
        for job in self.by_id.values():
            job.stuck_in = ""

    async def _run(self, job: QueryJob) -> None:
        await self._stay(job)
        if job.is_running:
            job.state = "InProgress"
        for _ in job.result.select():
            await asyncio.sleep(0)
            if not job.is_running:
                return
        await self._stay(job)
        job.seconds = self.seconds
        if job.is_running:
            job.state = "Failed" if job.is_failing else "JobComplete"
            job.error_message = job.failure

    async def _stay(self, job: QueryJob) -> None:
        """Stay in the present state for half of a job's time, or until a fault is cleared."""
        await asyncio.sleep(self.seconds / 2)
        while job.stuck_in == job.state:
            await asyncio.sleep(STUCK_STEP_SECONDS)
