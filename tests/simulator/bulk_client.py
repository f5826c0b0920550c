"""A client of Bulk API 2.0, for the tests of the simulator."""

import csv
import io
import time
from collections.abc import Iterator
from typing import Any

import requests

from tests.servers import PATIENCE_SECONDS
from tests.simulator.process import SimulatorProcess
from tests.simulator.rest_client import RestClient

ENDED = ("JobComplete", "Failed", "Aborted")


class BulkClient(RestClient):
    """Creates query jobs and reads them."""

    def __init__(self, org: SimulatorProcess) -> None:
        super().__init__(org)
        self.org = org

    def create(self, query: str, operation: str = "query", **options: Any) -> requests.Response:
        """Create a job."""
        body = {"operation": operation, "query": query, **options}
        return self.send("POST", "jobs/query", body)

    def run(self, query: str, operation: str = "query", **options: Any) -> str:
        """Create a job, wait for its end, and return its id."""
        job_id: str = self.create(query, operation, **options).json()["id"]
        self.ended(job_id)
        return job_id

    def job(self, job_id: str) -> Any:
        return self.send("GET", f"jobs/query/{job_id}").json()

    def ended(self, job_id: str, seconds: float = PATIENCE_SECONDS) -> Any:
        """Wait until the job has ended, and return it."""
        deadline = time.monotonic() + seconds
        while (job := self.job(job_id))["state"] not in ENDED:
            assert time.monotonic() < deadline, f"the job is still {job['state']}"
            time.sleep(0.02)
        return job

    def page(self, job_id: str, **query: str) -> requests.Response:
        return self.send("GET", f"jobs/query/{job_id}/results", **query)

    def pages(self, job_id: str, **query: str) -> Iterator[requests.Response]:
        """Yield every page of the results."""
        locator: dict[str, str] = {}
        while True:
            page = self.page(job_id, **query, **locator)
            yield page
            locator = {"locator": page.headers["Sforce-Locator"]}
            if locator["locator"] == "null":
                return

    def rows(self, query: str, operation: str = "query", **options: Any) -> list[dict[str, str]]:
        """Return the rows that a job finds."""
        pages = self.pages(self.run(query, operation, **options))
        return [row for page in pages for row in rows_of(page)]


def rows_of(page: requests.Response) -> list[dict[str, str]]:
    """Return the rows of a page of CSV with commas."""
    return list(csv.DictReader(io.StringIO(page.content.decode(), newline="")))
