"""A client of a scripted org, and the org's answers to it."""

from __future__ import annotations

from typing import Any

from listeners.salesforce.bulk.client import BulkClient
from tests.listeners.salesforce.scripted import Reply, ScriptedOrg, of_json, plain_http

JOBS = "/services/data/v67.0/jobs/query"
JOB_ID = "750000000000001AAA"
JOB = f"{JOBS}/{JOB_ID}"
RESULTS = f"{JOB}/results"
CREATED = "2026-11-28T12:00:00.000+0000"


def client(org: ScriptedOrg) -> BulkClient:
    return BulkClient(org.tokens(), "67.0", (60, 60), http=plain_http(), sleep=lambda _: None)


def job(state: str = "UploadComplete", **more: Any) -> dict[str, Any]:
    return {"id": JOB_ID, "state": state, "createdDate": CREATED, **more}


def page(text: str, rows: int, locator: str = "null", missing: int = 0) -> Reply:
    headers = (("Sforce-NumberOfRecords", str(rows)), ("Sforce-Locator", locator))
    return Reply(text.encode(), 200, headers, missing)


def error(status: int, code: str, message: str = "no") -> Reply:
    return of_json([{"errorCode": code, "message": message}], status)


def read(bulk: BulkClient, columns: tuple[str, ...] = ("Id", "Name"), **options: Any) -> list[Any]:
    with bulk.page(JOB_ID, columns, **options) as found:
        return [row for chunk in found.chunks(2) for row in chunk]
