"""simple-salesforce, an independent client, logs in, reads and writes."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
import requests
from requests.adapters import HTTPAdapter
from simple_salesforce.api import Salesforce
from simple_salesforce.bulk2 import ColumnDelimiter
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceMalformedRequest,
    SalesforceOperationError,
    SalesforceResourceNotFound,
)

from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.anywhere

LOGINS = ["soap", "password", "client credentials", "JWT"]


class ToTheSimulator(HTTPAdapter):
    """Sends requests for https://…salesforce.com to the simulator."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._there = urlsplit(url)

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        here = urlsplit(request.url)
        request.url = urlunsplit(here._replace(scheme="http", netloc=self._there.netloc))
        return super().send(request, *args, **kwargs)


@pytest.fixture(scope="module")
def session(shared_org: SimulatorProcess) -> Iterator[requests.Session]:
    """An HTTP session that sends all requests for Salesforce to the simulator."""
    with requests.Session() as http:
        http.mount("https://", ToTheSimulator(shared_org.url))
        yield http


def arguments(org: SimulatorProcess, kind: str) -> dict[str, Any]:
    """Return simple-salesforce's arguments for a kind of login."""
    known = org.credentials
    app = {"consumer_key": known["client_id"]}
    user = {"username": known["username"]}
    secret = {**app, "consumer_secret": known["client_secret"]}
    ways = {
        "soap": {
            **user,
            "password": known["password"][:-5],
            "security_token": known["password"][-5:],
        },
        "password": {**user, **secret, "password": known["password"]},
        "client credentials": {**secret, "domain": "acme.my"},
        "JWT": {**app, **user, "privatekey": known["private_key"]},
    }
    return ways[kind]


@pytest.fixture(scope="module")
def sf(shared_org: SimulatorProcess, session: requests.Session) -> Any:
    """A logged-in client."""
    return Salesforce(**arguments(shared_org, "soap"), session=session)


@pytest.mark.parametrize("kind", LOGINS)
def test_logs_in(shared_org: SimulatorProcess, session: requests.Session, kind: str) -> None:
    sf = Salesforce(**arguments(shared_org, kind), session=session)

    assert sf.limits()["DailyDeliveredPlatformEvents"]["Max"] == 50_000


@pytest.mark.parametrize("kind", ["soap", "password"])
def test_is_refused_with_a_wrong_password(
    shared_org: SimulatorProcess, session: requests.Session, kind: str
) -> None:
    wrong = {**arguments(shared_org, kind), "password": "wrong"}

    with pytest.raises(SalesforceAuthenticationFailed) as caught:
        Salesforce(**wrong, session=session)

    expected = {"soap": "INVALID_LOGIN", "password": "authentication failure"}
    assert expected[kind] in f"{caught.value.code} {caught.value}"


def test_logs_in_again_when_the_session_is_over(shared_org: SimulatorProcess, sf: Any) -> None:
    shared_org.fault("revoke_tokens")
    before = len(shared_org.token_requests())

    sf.limits()

    assert len(shared_org.token_requests()) == before + 1


def test_creates_reads_updates_and_deletes(sf: Any) -> None:
    made = sf.Account.create({"Name": "Acme", "BillingCity": "Kyoto"})
    record_id = made["id"]
    status = sf.Account.update(
        record_id, {"Phone": "1", "BillingCity": None, "BillingCountry": "JP"}
    )
    record = sf.Account.get(record_id)
    gone = sf.Account.delete(record_id)

    assert (made["success"], status, gone) == (True, 204, 204)
    assert (record["Name"], record["Phone"]) == ("Acme", "1")
    assert (record["BillingAddress"]["country"], record["BillingAddress"]["city"]) == ("JP", None)
    with pytest.raises(SalesforceResourceNotFound, match="ENTITY_IS_DELETED"):
        sf.Account.get(record_id)


def test_describes(sf: Any) -> None:
    fields = {field["name"]: field for field in sf.Contact.describe()["fields"]}

    assert (fields["LastName"]["nillable"], fields["Email"]["type"]) == (False, "email")
    listed = sf.describe()
    assert listed is not None
    assert "Employee__c" in [described["name"] for described in listed["sobjects"]]


def test_reads_a_long_answer_batch_by_batch(shared_org: SimulatorProcess, sf: Any) -> None:
    shared_org.create("Employee__c", *({"Last_Name__c": f"E{n:03}"} for n in range(450)))
    text = "SELECT Last_Name__c FROM Employee__c ORDER BY Last_Name__c"
    header = {"Sforce-Query-Options": "batchSize=200"}

    first = sf.query(text, headers=header)
    second = sf.query_more(first["nextRecordsUrl"], identifier_is_url=True, headers=header)
    everything = sf.query_all(text, headers=header)

    assert (first["totalSize"], first["done"], len(first["records"])) == (450, False, 200)
    assert [row["Last_Name__c"] for row in second["records"]][::199] == ["E200", "E399"]
    names = [row["Last_Name__c"] for row in everything["records"]]
    assert names == [f"E{n:03}" for n in range(450)]


def test_sees_deleted_records_only_if_it_asks_for_them(
    shared_org: SimulatorProcess, sf: Any
) -> None:
    kept, deleted = shared_org.create("Opportunity", {"Name": "Kept"}, {"Name": "Gone"})
    shared_org.delete("Opportunity", deleted)
    text = f"SELECT Id, IsDeleted FROM Opportunity WHERE Id IN ('{kept}', '{deleted[:15]}')"

    live, every = sf.query(text), sf.query(text, include_deleted=True)

    assert [row["Id"] for row in live["records"]] == [kept]
    assert {row["Id"]: row["IsDeleted"] for row in every["records"]} == {kept: False, deleted: True}


def test_gets_the_error_of_a_wrong_record(sf: Any) -> None:
    with pytest.raises(SalesforceMalformedRequest) as caught:
        sf.Contact.create({"FirstName": "Mei"})

    content: Any = caught.value.content
    assert (content[0]["errorCode"], content[0]["fields"]) == (
        "REQUIRED_FIELD_MISSING",
        ["LastName"],
    )


def test_upserts_reads_and_deletes_by_an_external_id(sf: Any) -> None:
    key = "External_Id__c/simple-1"

    statuses = [sf.Account.upsert(key, {"Name": name}) for name in ("First", "Second")]
    record = sf.Account.get_by_custom_id("External_Id__c", "simple-1")
    gone = sf.Account.delete(key)

    assert (statuses, record["Name"], gone) == ([201, 200], "Second", 204)


def test_lists_what_was_updated_and_deleted(sf: Any) -> None:
    kept, gone = (sf.Account.create({"Name": name})["id"] for name in ("Kept", "Gone"))
    sf.Account.delete(gone)
    now = datetime.now(UTC)
    start, end = now - timedelta(minutes=2), now + timedelta(minutes=2)

    updated, deleted = sf.Account.updated(start, end), sf.Account.deleted(start, end)

    assert kept in updated["ids"]
    assert gone in [one["id"] for one in deleted["deletedRecords"]]


def test_reads_metadata_and_the_organization(sf: Any) -> None:
    assert sf.Account.metadata()["objectDescribe"]["keyPrefix"] == "001"
    assert sf.query("SELECT Name FROM Organization")["records"][0]["Name"] == "Simulator"


def test_sends_composite_requests_and_collections(sf: Any) -> None:
    request = {"method": "GET", "url": f"{sf.base_url}limits", "referenceId": "limits"}
    request["url"] = "/services" + request["url"].partition("/services")[2]
    records = [{"attributes": {"type": "Account"}, "Name": name} for name in "AB"]

    composite = sf.restful("composite", method="POST", json={"compositeRequest": [request]})
    made = sf.restful("composite/sobjects", method="POST", json={"records": records})

    assert composite["compositeResponse"][0]["httpStatusCode"] == 200
    assert [one["success"] for one in made] == [True, True]


def test_queries_with_bulk_api_2(shared_org: SimulatorProcess, sf: Any) -> None:
    names = ["Bulk 1", 'Bulk "2",\nand more', "Bulk 3"]
    ids = shared_org.create("Opportunity", *({"Name": name} for name in names))
    shared_org.delete("Opportunity", ids[2])
    text = "SELECT Id, Name, Amount FROM Opportunity WHERE Name LIKE 'Bulk%'"
    handler = sf.bulk2.Opportunity

    live = list(handler.query(text, max_records=1, wait=0.1))
    every = list(handler.query_all(text, wait=0.1))

    assert [parsed(page) for page in live] == [
        [{"Id": record_id, "Name": name, "Amount": ""}]
        for record_id, name in list(zip(ids, names, strict=True))[:2]
    ]
    assert [row["Id"] for page in every for row in parsed(page)] == ids


def test_downloads_with_bulk_api_2(shared_org: SimulatorProcess, sf: Any, tmp_path: Path) -> None:
    shared_org.create("Case", *({"Subject": f"Download {number}"} for number in range(5)))
    text = "SELECT Subject FROM Case WHERE Subject LIKE 'Download%'"

    results = sf.bulk2.Case.download(
        text, str(tmp_path), max_records=2, column_delimiter=ColumnDelimiter.PIPE, wait=0.1
    )

    files = [Path(result["file"]).read_text(encoding="utf-8") for result in results]
    assert [result["number_of_records"] for result in results] == [2, 2, 1]
    assert results[-1]["locator"] == ""
    rows = [row for page in files for row in parsed(page, "|")]
    assert [row["Subject"] for row in rows] == [f"Download {number}" for number in range(5)]


def test_gets_the_error_of_a_failed_query_job(shared_org: SimulatorProcess, sf: Any) -> None:
    shared_org.fault("job_failed", error_message="InternalServerError : 15 retries")

    with pytest.raises(SalesforceOperationError, match="InternalServerError : 15 retries"):
        list(sf.bulk2.Case.query("SELECT Id FROM Case", wait=0.1))


def parsed(page: str, delimiter: str = ",") -> list[dict[str, str]]:
    """Return the rows of a page of CSV."""
    return list(csv.DictReader(io.StringIO(page, newline=""), delimiter=delimiter))
