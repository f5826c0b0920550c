"""Query jobs of Bulk API 2.0 have the life and the results that Salesforce documents."""

from pathlib import Path
from typing import Any

import pytest
import requests

from tests.servers import PATIENCE_SECONDS
from tests.simulator.bulk_client import BulkClient, rows_of
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.anywhere


@pytest.fixture
def bulk(shared_org: SimulatorProcess) -> BulkClient:
    return BulkClient(shared_org)


def error(response: Any) -> tuple[int, str]:
    [found] = response.json()
    return response.status_code, found["errorCode"]


def test_a_job_is_created_and_described(shared_org: SimulatorProcess, bulk: BulkClient) -> None:
    shared_org.create("Case", {"Subject": "described"}, {"Subject": "other"})

    created = bulk.create("SELECT Id FROM Case WHERE Subject = 'described'").json()
    job = bulk.ended(created["id"])

    assert created["id"].startswith("750")
    assert (created["state"], created["object"], created["operation"]) == (
        "UploadComplete",
        "Case",
        "query",
    )
    assert (created["apiVersion"], created["concurrencyMode"]) == (61.0, "Parallel")
    assert (created["contentType"], created["columnDelimiter"]) == ("CSV", "COMMA")
    assert (created["lineEnding"], created["createdDate"][-9:]) == ("LF", ".000+0000")
    assert (job["state"], job["jobType"], job["numberRecordsProcessed"]) == (
        "JobComplete",
        "V2Query",
        1,
    )
    assert (job["isPkChunkingSupported"], job["retries"]) == (True, 0)


def test_values_are_quoted_and_empty_ones_have_no_text(
    shared_org: SimulatorProcess, bulk: BulkClient
) -> None:
    [record_id] = shared_org.create(
        "Account",
        Name='A "b",\nc',
        Phone="forms",
        AnnualRevenue=12.5,
        NumberOfEmployees=3,
        BillingAddress={"City": "Zürich"},
    )
    fields = "id, Name, AnnualRevenue, NumberOfEmployees, BillingCity, Website, IsDeleted"
    [stamp] = bulk.rows("SELECT SystemModstamp FROM Account WHERE Phone = 'forms'")

    page = bulk.page(bulk.run(f"SELECT {fields} FROM Account WHERE Phone = 'forms'"))

    assert page.content.decode() == (
        '"Id","Name","AnnualRevenue","NumberOfEmployees","BillingCity","Website","IsDeleted"\n'
        f'"{record_id}","A ""b"",\nc","12.5","3","Zürich","","false"\n'
    )
    assert page.headers["Content-Type"] == "text/csv;charset=UTF-8"
    assert stamp["SystemModstamp"].endswith(".000Z")


NOT_IN_CSV = ("address", "location", "base64", "complexvalue", "JunctionIdList")


def as_text(value: object) -> str:
    """Return a REST value in its CSV form."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).replace(".000+0000", ".000Z")


@pytest.mark.parametrize(
    ("entity", "values"),
    [
        ("Account", {"Name": "Same", "BillingAddress": {"City": "Graz", "Latitude": 47.07}}),
        ("Contact", {"Name": {"FirstName": "Mei", "LastName": "Ito"}, "Birthdate": "2000-01-31"}),
        (
            "Field_Types__c",
            {
                "Name": "Every type",
                "Text__c": "text",
                "Checkbox__c": True,
                "Long__c": 9_007_199_254_740_993,
                "Number__c": 12.5,
                "Date__c": "2026-01-31",
                "Date_Time__c": "2026-01-31T10:00:00.000Z",
                "Time__c": "14:30:00.000Z",
                "Place__c": {"Latitude": 47.07, "Longitude": 15.44},
                "Site__c": {"City": "Graz"},
            },
        ),
    ],
)
def test_values_are_those_of_rest(bulk: BulkClient, entity: str, values: dict[str, Any]) -> None:
    bulk.org.post("changes", op="create", entity=entity, fields=values)
    fields = bulk.send("GET", f"sobjects/{entity}/describe").json()["fields"]
    names = ", ".join(field["name"] for field in fields if field["type"] not in NOT_IN_CSV)

    [row] = bulk.rows(f"SELECT {names} FROM {entity} ORDER BY CreatedDate DESC, Id DESC LIMIT 1")

    record = bulk.send("GET", f"sobjects/{entity}/{row['Id']}").json()
    assert row == {name: as_text(record[name]) for name in row}
    assert sum(value != "" for value in row.values()) > len(values) + 6


@pytest.mark.parametrize(
    ("delimiter", "sign"),
    [("BACKQUOTE", "`"), ("CARET", "^"), ("PIPE", "|"), ("SEMICOLON", ";"), ("TAB", "\t")],
)
def test_delimiter_and_line_ending_are_chosen(bulk: BulkClient, delimiter: str, sign: str) -> None:
    job_id = bulk.run(
        "SELECT Id, Name FROM User", columnDelimiter=delimiter, lineEnding="CRLF", contentType="CSV"
    )

    text = bulk.page(job_id).content.decode()

    assert text.startswith(f'"Id"{sign}"Name"\r\n')
    assert text.endswith(f'{sign}"Integration User"\r\n')


def test_pages_follow_each_other_by_locator(shared_org: SimulatorProcess, bulk: BulkClient) -> None:
    shared_org.create("Employee__c", *({"Department__c": "paged"} for _ in range(5)))
    job_id = bulk.run("SELECT Id, Name FROM Employee__c WHERE Department__c = 'paged'")

    pages = list(bulk.pages(job_id, maxRecords="2"))
    again = bulk.page(job_id, maxRecords="2", locator=pages[0].headers["Sforce-Locator"])

    assert [page.headers["Sforce-NumberOfRecords"] for page in pages] == ["2", "2", "1"]
    assert [len(rows_of(page)) for page in pages] == [2, 2, 1]
    assert pages[-1].headers["Sforce-Locator"] == "null"
    assert again.content == pages[1].content
    assert len({row["Id"] for page in pages for row in rows_of(page)}) == 5


def test_a_result_without_rows_has_the_header_row(bulk: BulkClient) -> None:
    page = bulk.page(bulk.run("SELECT Id, Name FROM Account WHERE Name = 'nothing'"))

    assert page.content == b'"Id","Name"\n'
    assert page.headers["Sforce-NumberOfRecords"] == "0"
    assert page.headers["Sforce-Locator"] == "null"


def test_rows_are_those_of_the_moment_of_creation(
    shared_org: SimulatorProcess, bulk: BulkClient
) -> None:
    ids = shared_org.create(
        "Employee__c", *({"Department__c": "moment", "Last_Name__c": name} for name in "abcd")
    )
    query = "SELECT Id, Last_Name__c, IsDeleted FROM Employee__c WHERE Department__c = 'moment'"
    shared_org.delete("Employee__c", ids[3])
    live, every = (bulk.create(query, kind).json()["id"] for kind in ("query", "queryAll"))

    shared_org.update("Employee__c", ids[0], Last_Name__c="changed")
    shared_org.update("Employee__c", ids[1], Department__c="elsewhere")
    shared_org.delete("Employee__c", ids[2])
    shared_org.undelete("Employee__c", ids[3])
    shared_org.create("Employee__c", Department__c="moment", Last_Name__c="late")
    shared_org.post("recycle-bin/empty")

    found = []
    for job_id in (live, every):
        bulk.ended(job_id)
        rows = rows_of(bulk.page(job_id))
        found.append([(row["Last_Name__c"], row["IsDeleted"]) for row in rows])
    assert found[0] == [("a", "false"), ("b", "false"), ("c", "false")]
    assert found[1] == [*found[0], ("d", "true")]


def test_order_and_limit_are_accepted(shared_org: SimulatorProcess, bulk: BulkClient) -> None:
    names = ({"Subject": name, "Status": "sorted"} for name in "bcad")
    shared_org.create("Case", *names)

    job_id = bulk.run(
        "SELECT Subject FROM Case WHERE Status = 'sorted' ORDER BY Subject DESC LIMIT 3"
    )

    assert [row["Subject"] for row in rows_of(bulk.page(job_id))] == ["d", "c", "b"]
    assert bulk.job(job_id)["isPkChunkingSupported"] is False


def test_result_pages_name_the_locations_of_pages() -> None:
    with SimulatorProcess("--bulk-page-size", "2", "--bulk-job-seconds", "0") as org:
        bulk = BulkClient(org)
        org.create("Account", *({"Name": str(number)} for number in range(13)))
        job_id = bulk.run("SELECT Name FROM Account")
        first = bulk.send("GET", f"jobs/query/{job_id}/resultPages").json()
        last = bulk.send("GET", first["nextRecordsUrl"]).json()
        urls = [page["resultUrl"] for page in first["resultPages"] + last["resultPages"]]
        names = [row["Name"] for url in urls for row in rows_of(bulk.send("GET", url))]

    assert (len(first["resultPages"]), first["done"]) == (5, False)
    assert (len(last["resultPages"]), last["done"]) == (2, True)
    assert names == [str(number) for number in range(13)]


def test_a_job_is_aborted_and_deleted() -> None:
    with SimulatorProcess("--bulk-job-seconds", "60") as org:
        bulk = BulkClient(org)
        job_id = bulk.create("SELECT Id FROM Account").json()["id"]
        path = f"jobs/query/{job_id}"
        early = bulk.send("DELETE", path)
        too_early = bulk.page(job_id)
        aborted = bulk.send("PATCH", path, {"state": "Aborted"})
        again = bulk.send("PATCH", path, {"state": "Aborted"})
        deleted = bulk.send("DELETE", path)
        missing = bulk.send("GET", path)

    assert error(early) == (400, "API_ERROR")
    assert "is not terminated" in early.json()[0]["message"]
    assert error(too_early) == (400, "INVALIDJOBSTATE")
    assert (aborted.status_code, aborted.json()["state"]) == (200, "Aborted")
    assert error(again) == (400, "INVALIDJOBSTATE")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert error(missing) == (404, "NOT_FOUND")


def test_jobs_are_listed(bulk: BulkClient) -> None:
    ids = [bulk.run("SELECT Id FROM User") for _ in range(2)]

    listed = bulk.send("GET", "jobs/query", jobType="V2Query").json()

    assert listed["done"] is True
    assert [job["id"] for job in listed["records"]][-2:] == ids
    assert listed["records"][-1]["state"] == "JobComplete"


def test_results_are_read_in_the_version_of_the_job(bulk: BulkClient) -> None:
    job_id = bulk.run("SELECT Id FROM User")

    assert error(bulk.send("GET", f"jobs/query/{job_id}/results", version="60.0")) == (
        409,
        "API_VERSION_MISMATCH",
    )


def test_results_are_kept_for_seven_days() -> None:
    with SimulatorProcess("--session-seconds", "2000000") as org:
        bulk = BulkClient(org)
        job_id = bulk.run("SELECT Id FROM User")
        org.advance(7 * 86_400 - 60)
        kept = bulk.page(job_id)
        org.advance(120)
        gone = bulk.page(job_id)

    assert kept.status_code == 200
    assert error(gone) == (404, "NOT_FOUND")


def test_jobs_count_against_a_daily_limit(bulk: BulkClient) -> None:
    before = bulk.send("GET", "limits").json()["DailyBulkV2QueryJobs"]
    bulk.run("SELECT Id FROM User")
    limits = bulk.send("GET", "limits").json()

    assert before["Max"] == 10_000
    assert limits["DailyBulkV2QueryJobs"]["Remaining"] == before["Remaining"] - 1
    assert limits["DailyBulkV2QueryFileStorageMB"] == {"Max": 976_562, "Remaining": 976_562}


def test_jobs_and_requests_above_the_limit_of_a_day_are_refused() -> None:
    options = ("--daily-bulk-jobs", "1", "--daily-api-requests", "3")
    with SimulatorProcess(*options, "--session-seconds", "200000") as org:
        bulk = BulkClient(org)
        first, second, used_up, third = (bulk.create("SELECT Id FROM User") for _ in range(4))
        limits = bulk.send("GET", "limits").json()
        org.advance(86_400)
        tomorrow = bulk.create("SELECT Id FROM User")

    assert (first.status_code, error(second)) == (200, (400, "LIMIT_EXCEEDED"))
    assert error(used_up) == (400, "LIMIT_EXCEEDED")
    assert used_up.headers["Sforce-Limit-Info"] == "api-usage=3/3"
    assert error(third) == (403, "REQUEST_LIMIT_EXCEEDED")
    assert limits["DailyBulkV2QueryJobs"] == {"Max": 1, "Remaining": 0}
    assert limits["DailyApiRequests"] == {"Max": 3, "Remaining": 0}
    assert tomorrow.status_code == 200


@pytest.mark.parametrize("accepted", ["gzip", "identity"])
def test_results_are_compressed_if_the_client_accepts_it(
    bulk: BulkClient, shared_org: SimulatorProcess, accepted: str
) -> None:
    url = f"{shared_org.url}/services/data/v61.0/jobs/query/{bulk.run('SELECT Id FROM User')}"
    headers = {"Authorization": f"Bearer {bulk.token}", "Accept-Encoding": accepted}

    page = shared_org.http.get(f"{url}/results", headers=headers, timeout=PATIENCE_SECONDS)

    assert page.headers.get("Content-Encoding", "identity") == accepted
    assert page.text.startswith('"Id"\n"005')


@pytest.mark.parametrize(
    ("query", "code", "problem"),
    [
        ("SELECT COUNT(Id) FROM Account", "API_ERROR", "Aggregate functions are not supported"),
        ("SELECT COUNT() FROM Account", "API_ERROR", "Aggregate functions are not supported"),
        ("SELECT Name FROM Account GROUP BY Name", "API_ERROR", "GROUP BY clause is not supported"),
        ("SELECT Id FROM Account OFFSET 5", "API_ERROR", "OFFSET clause is not supported"),
        ("SELECT TYPEOF What WHEN Account THEN Name END FROM Case", "API_ERROR", "TYPEOF clause"),
        ("SELECT Id, (SELECT Id FROM Contacts) FROM Account", "API_ERROR", "Parent-to-child"),
        ("SELECT BillingAddress FROM Account", "API_ERROR", "Selecting compound data not support"),
        ("SELECT Id FROM CaseStatus", "INVALIDENTITY", "is not supported by the Bulk API"),
        ("SELECT Id FROM Lead", "INVALID_TYPE", "sObject type 'Lead' is not supported"),
        ("SELECT Nothing FROM Case", "INVALID_FIELD", "No such column 'Nothing'"),
        ("SELECT FROM Case", "MALFORMED_QUERY", "unexpected token: 'Case'"),
        ("", "API_ERROR", "The query must not be empty"),
    ],
)
def test_a_query_that_is_refused(bulk: BulkClient, query: str, code: str, problem: str) -> None:
    response = bulk.create(query)

    assert error(response) == (400, code)
    assert problem in response.json()[0]["message"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"operation": "insert"},
        {"contentType": "JSON"},
        {"columnDelimiter": "COLON"},
        {"lineEnding": "CR"},
    ],
)
def test_a_job_with_a_wrong_option_is_refused(bulk: BulkClient, wrong: dict[str, str]) -> None:
    body = {"operation": "query", "query": "SELECT Id FROM User", **wrong}

    response = bulk.send("POST", "jobs/query", body)

    assert error(response) == (400, "API_ERROR")
    assert next(iter(wrong)) in response.json()[0]["message"]


def test_words_of_refused_clauses_may_stand_in_values(
    shared_org: SimulatorProcess, bulk: BulkClient
) -> None:
    shared_org.create("Case", Subject="GROUP BY (SELECT")

    assert len(bulk.rows("SELECT Id FROM Case WHERE Subject = 'GROUP BY (SELECT'")) == 1


@pytest.mark.parametrize("query", [{"locator": "?"}, {"maxRecords": "0"}, {"maxRecords": "x"}])
def test_a_page_that_is_refused(bulk: BulkClient, query: dict[str, str]) -> None:
    job_id = bulk.run("SELECT Id FROM User")

    assert error(bulk.page(job_id, **query)) == (400, "API_ERROR")


def test_a_large_object_is_read_as_it_was() -> None:
    with SimulatorProcess("--records", "Account=3000") as org:
        bulk = BulkClient(org)
        query = "SELECT Id, Name, IsDeleted, SystemModstamp FROM Account"
        before = bulk.rows(query, "queryAll")
        middle, newest = before[1_000], before[-1]
        ids = [row["Id"] for row in before]
        org.update("Account", ids[3], Name="Before")
        org.delete("Account", ids[5])
        [added] = org.create("Account", Name="Added")
        bounded = f"{query} WHERE SystemModstamp > {middle['SystemModstamp']}"
        jobs = [bulk.create(text, "queryAll").json()["id"] for text in (query, bounded)]
        org.update("Account", [ids[3], ids[4], ids[2_000]], Name="After")
        org.delete("Account", [ids[6], ids[2_001]])
        org.undelete("Account", ids[5])
        found = []
        for job_id in jobs:
            bulk.ended(job_id)
            pages = bulk.pages(job_id, maxRecords="700")
            found.append({row["Id"]: row for page in pages for row in rows_of(page)})

    every, later = found
    assert len(before) == 3_000
    assert set(every) == {*ids, added}
    changed = {record_id for record_id, row in every.items() if row not in before}
    assert changed == {ids[3], ids[5], added}
    assert (every[ids[3]]["Name"], every[ids[5]]["IsDeleted"]) == ("Before", "true")
    wanted = [row for row in every.values() if row["SystemModstamp"] > middle["SystemModstamp"]]
    assert newest in wanted
    assert {row["Id"]: row for row in wanted} == later


def test_a_download_of_many_rows_takes_little_memory() -> None:
    with SimulatorProcess("--records", "Account=60000") as org:
        bulk = BulkClient(org)
        query = "SELECT Id, Name, Phone, Description, SystemModstamp FROM Account"
        bulk.rows(f"{query} LIMIT 100", "queryAll")
        before = resident_megabytes(org.pid)
        count = 0
        for page in bulk.pages(bulk.run(query, "queryAll")):
            count += len(rows_of(page))
        after = resident_megabytes(org.pid)

    assert count == 60_000
    assert after - before < 20


def resident_megabytes(pid: int) -> int:
    [line] = [
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmRSS" in line
    ]
    return int(line.split()[1]) // 1024


def test_a_large_page_is_the_same_when_it_is_sent_again() -> None:
    with SimulatorProcess("--records", "Account=6000") as org:
        bulk = BulkClient(org)
        query = "SELECT Id, Name, Phone FROM Account"

        def page(job_id: str, accepted: str = "gzip") -> bytes:
            url = f"{org.url}/services/data/v61.0/jobs/query/{job_id}/results"
            headers = {"Authorization": f"Bearer {bulk.token}", "Accept-Encoding": accepted}
            return org.http.get(url, headers=headers, timeout=PATIENCE_SECONDS).content

        first = bulk.run(query)
        written, kept, plain = page(first), page(first), page(first, "identity")
        from_other_job = page(bulk.run(query))
        org.fault("close", target="bulk", channel="results")
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            page(first)
        [record_id] = written.decode().splitlines()[2].split(",")[:1]
        org.update("Account", record_id.strip('"'), Phone="changed")
        after, changed = page(first), page(bulk.run(query))

    assert written == kept == plain == from_other_job == after
    assert (written.count(b"\n"), changed.count(b'"changed"\n')) == (6_001, 1)
