"""Faults of Bulk API 2.0 and of REST affect the requests that they are meant for."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.simulator.bulk_client import BulkClient, rows_of
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.anywhere

USERS = "SELECT Id FROM User"


@pytest.fixture
def org(shared_org: SimulatorProcess) -> Iterator[SimulatorProcess]:
    """The module's simulator; the faults of each test are removed after it."""
    yield shared_org
    shared_org.clear_faults()


@pytest.fixture
def bulk(org: SimulatorProcess) -> BulkClient:
    return BulkClient(org)


def accounts(org: SimulatorProcess, name: str, count: int) -> str:
    """Create accounts, and return the query that finds them."""
    org.create("Account", *({"Name": name, "Phone": str(number)} for number in range(count)))
    return f"SELECT Id, Phone FROM Account WHERE Name = '{name}'"


@pytest.mark.parametrize("state", ["UploadComplete", "InProgress"])
def test_a_job_is_stuck_until_the_fault_is_cleared(
    org: SimulatorProcess, bulk: BulkClient, state: str
) -> None:
    org.fault("job_stuck", entity="User", state=state)
    stuck, other = (bulk.create(query).json()["id"] for query in (USERS, "SELECT Id FROM Case"))

    bulk.ended(other)
    assert bulk.job(stuck)["state"] == state

    org.clear_faults()
    assert bulk.ended(stuck)["state"] == "JobComplete"


def test_a_stuck_job_can_be_aborted(org: SimulatorProcess, bulk: BulkClient) -> None:
    org.fault("job_stuck")
    job_id = bulk.create(USERS).json()["id"]

    bulk.send("PATCH", f"jobs/query/{job_id}", {"state": "Aborted"})

    assert bulk.job(job_id)["state"] == "Aborted"


@pytest.mark.parametrize("message", ["", "InternalServerError : 15 retries"])
def test_a_job_fails(org: SimulatorProcess, bulk: BulkClient, message: str) -> None:
    org.fault("job_failed", error_message=message)

    job_id = bulk.run(USERS)

    job = bulk.job(job_id)
    assert (job["state"], job.get("errorMessage", "")) == ("Failed", message)
    assert bulk.page(job_id).json()[0]["errorCode"] == "INVALIDJOBSTATE"
    assert bulk.job(bulk.run(USERS))["state"] == "JobComplete"


def test_a_job_reports_a_wrong_count(org: SimulatorProcess, bulk: BulkClient) -> None:
    query = accounts(org, "miscounted", 3)
    org.fault("job_miscount", records=-1)

    job_id = bulk.run(query)

    assert bulk.job(job_id)["numberRecordsProcessed"] == 2
    assert len(rows_of(bulk.page(job_id))) == 3


def test_a_page_is_short_of_rows(org: SimulatorProcess, bulk: BulkClient) -> None:
    job_id = bulk.run(accounts(org, "short", 5))
    org.fault("short_page", rows=1)

    first, second = list(bulk.pages(job_id, maxRecords="3"))

    assert (first.headers["Sforce-NumberOfRecords"], len(rows_of(first))) == ("3", 2)
    assert [row["Phone"] for row in rows_of(second)] == ["3", "4"]


def test_a_page_is_cut_in_the_middle(org: SimulatorProcess, bulk: BulkClient) -> None:
    job_id = bulk.run(accounts(org, "cut", 2_000))
    org.fault("close", target="bulk", channel="results")

    assert bulk.job(job_id)["state"] == "JobComplete"
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        bulk.page(job_id)
    assert len(rows_of(bulk.page(job_id))) == 2_000


def test_a_page_ends_in_the_middle_of_a_row(org: SimulatorProcess, bulk: BulkClient) -> None:
    job_id = bulk.run(accounts(org, "malformed", 20))
    org.fault("malformed", target="bulk", channel="results")

    page = bulk.page(job_id)

    assert page.headers["Sforce-NumberOfRecords"] == "20"
    assert not page.content.endswith(b'"\n')
    assert bulk.page(job_id).content.startswith(page.content)


@pytest.mark.parametrize("status", [406, 409, 420, 429, 503])
@pytest.mark.parametrize("empty", [True, False])
def test_an_answer_is_an_http_status(
    org: SimulatorProcess, bulk: BulkClient, status: int, empty: bool
) -> None:
    org.fault("http_status", target="bulk", status=status, retry_after=7, empty=empty)

    refused, created = bulk.create(USERS), bulk.create(USERS)

    assert (refused.status_code, refused.headers["Retry-After"]) == (status, "7")
    assert refused.text == ("" if empty else f"<html><h1>{status}</h1></html>")
    assert empty or refused.headers["Content-Type"].startswith("text/html")
    assert created.status_code == 200


CODES = [
    ("INVALIDENTITY", 400),
    ("LIMIT_EXCEEDED", 400),
    ("QUERY_TIMEOUT", 400),
    ("REQUEST_LIMIT_EXCEEDED", 403),
    ("API_DISABLED_FOR_ORG", 403),
    ("NOT_FOUND", 404),
    ("TXN_SECURITY_METERING_ERROR", 400),
]


@pytest.mark.parametrize(("code", "status"), CODES)
def test_a_request_is_refused_with_an_error(
    org: SimulatorProcess, bulk: BulkClient, code: str, status: int
) -> None:
    org.fault("rest_error", target="bulk", channel="create", code=code)

    refused = bulk.create(USERS)

    [error] = refused.json()
    assert (refused.status_code, error["errorCode"]) == (status, code)
    assert error["message"]


def test_an_error_can_have_a_message_and_a_status(org: SimulatorProcess, bulk: BulkClient) -> None:
    org.fault("rest_error", target="rest", code="SERVER_UNAVAILABLE", message="wait", status=503)

    refused = bulk.send("GET", "limits")

    assert refused.status_code == 503
    assert refused.json() == [{"message": "wait", "errorCode": "SERVER_UNAVAILABLE"}]


@pytest.mark.parametrize(
    ("channel", "method", "path"),
    [
        ("create", "POST", "jobs/query"),
        ("jobs", "GET", "jobs/query"),
        ("job", "GET", "jobs/query/{}"),
        ("results", "GET", "jobs/query/{}/results"),
        ("resultPages", "GET", "jobs/query/{}/resultPages"),
        ("abort", "PATCH", "jobs/query/{}"),
        ("delete", "DELETE", "jobs/query/{}"),
    ],
)
def test_a_fault_is_limited_to_one_kind_of_request(
    org: SimulatorProcess, bulk: BulkClient, channel: str, method: str, path: str
) -> None:
    job_id = bulk.run(USERS)
    org.fault("rest_error", target="bulk", channel=channel, code="FAULT", times=None)

    def code(sent: str, to: str) -> Any:
        response = bulk.send(sent, to.format(job_id), {"operation": "query", "query": USERS})
        return response.content and isinstance(body := response.json(), list) and body[0]

    assert code(method, path)["errorCode"] == "FAULT"
    assert bulk.send("GET", "limits").status_code == 200
    for other in ("POST", "GET"):
        if (other, "jobs/query") != (method, path):
            assert not code(other, "jobs/query")


def test_a_fault_of_rest_can_be_limited_to_queries(org: SimulatorProcess, bulk: BulkClient) -> None:
    org.fault("rest_error", channel="query", code="QUERY_TIMEOUT")
    org.fault("rest_error", channel="describe", code="REQUEST_LIMIT_EXCEEDED")

    assert bulk.send("GET", "limits").status_code == 200
    assert bulk.send("GET", "query", q=USERS).json()[0]["errorCode"] == "QUERY_TIMEOUT"
    assert bulk.send("GET", "query", q=USERS).status_code == 200
    refused = bulk.send("GET", "sobjects/Account/describe").json()
    assert refused[0]["errorCode"] == "REQUEST_LIMIT_EXCEEDED"


def test_bulk_can_be_switched_off_for_an_object(org: SimulatorProcess, bulk: BulkClient) -> None:
    org.entity("Opportunity", bulk=False)

    refused = bulk.create("SELECT Id FROM Opportunity").json()
    org.entity("Opportunity", bulk=True)

    assert refused[0]["errorCode"] == "INVALIDENTITY"
    assert bulk.create("SELECT Id FROM Opportunity").status_code == 200


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ({"kind": "rest_error"}, "rest_error needs the code to answer with"),
        ({"kind": "job_stuck", "state": "Failed"}, "state must be one of UploadComplete, InProg"),
        ({"kind": "short_page", "pages": 1}, "short_page has no option 'pages'"),
        ({"kind": "job_miscount", "records": "1"}, "option 'records' has a value of the wrong"),
    ],
)
def test_an_invalid_fault(org: SimulatorProcess, fault: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        org.post("faults", **fault)
