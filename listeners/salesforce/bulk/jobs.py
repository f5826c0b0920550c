"""A query job as Salesforce describes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from listeners.salesforce.errors import TransportFailed

#: States in which a job has not ended.
RUNNING = frozenset({"UploadComplete", "InProgress"})
COMPLETE = "JobComplete"


@dataclass(frozen=True, slots=True)
class QueryJob:
    """A query job.

    `created_at` is on Salesforce's clock, in ms since 1970 and rounded down to a second: the
    results include everything that was committed before. `records` is the number of records
    processed; None while it is unknown.
    """

    id: str
    state: str
    created_at: int
    records: int | None = None
    error: str = ""

    @property
    def is_running(self) -> bool:
        return self.state in RUNNING

    @property
    def is_complete(self) -> bool:
        return self.state == COMPLETE

    @classmethod
    def of(cls, body: dict[str, Any]) -> QueryJob:
        """Return the job that an answer describes. Raises TransportFailed."""
        match body:
            case {"id": str(job_id), "state": str(state), "createdDate": str(created)} if job_id:
                pass
            case _:
                raise TransportFailed("HTTP 200, but not with a query job")
        records = body.get("numberRecordsProcessed")
        return cls(
            job_id,
            state,
            _milliseconds(created),
            records if isinstance(records, int) else None,
            str(body.get("errorMessage") or ""),
        )


def _milliseconds(created: str) -> int:
    try:
        return int(datetime.fromisoformat(created).timestamp()) * 1000
    except ValueError:
        raise TransportFailed("a query job has a createdDate that is not a date") from None
