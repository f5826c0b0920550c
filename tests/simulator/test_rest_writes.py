"""Writes over REST give change events, and wrong ones are refused."""

from typing import Any

import pytest
import requests

from tests.servers import PATIENCE_SECONDS
from tests.simulator.process import SimulatorProcess
from tests.simulator.wire_client import WireClient

pytestmark = pytest.mark.anywhere

SOBJECTS = "/services/data/v61.0/sobjects"
UNKNOWN_ID = "0015g00000AAAAAAA5"


@pytest.fixture
def writer(shared_client: WireClient) -> WireClient:
    return shared_client.log_in()


def send(
    client: WireClient, method: str, path: str, body: Any = None, **headers: str
) -> requests.Response:
    known = {"Authorization": f"Bearer {client.token}", "Content-Type": "application/json"}
    data = {"data": body} if isinstance(body, str) else {"json": body}
    return client.http.request(
        method,
        f"{client.url}{path}",
        headers={**known, **headers},
        timeout=PATIENCE_SECONDS,
        **data,
    )


def newest_header(org: SimulatorProcess) -> dict[str, Any]:
    header: dict[str, Any] = org.state(events=1, records=0)["events"][-1]["header"]
    return header


def test_a_write_gives_a_change_event(shared_org: SimulatorProcess, writer: WireClient) -> None:
    made = send(writer, "POST", f"{SOBJECTS}/Account", {"Name": "Acme"})
    record_id = made.json()["id"]
    created = newest_header(shared_org)
    path = f"{SOBJECTS}/Account/{record_id[:15]}"
    updated_answer = send(writer, "PATCH", path, {"Phone": "1", "Industry": None})
    updated = newest_header(shared_org)
    deleted_answer = send(writer, "DELETE", path)
    deleted = newest_header(shared_org)

    assert (made.status_code, made.json()) == (
        201,
        {"id": record_id, "success": True, "errors": []},
    )
    assert made.headers["Location"] == f"{SOBJECTS}/Account/{record_id}"
    assert (updated_answer.status_code, updated_answer.content) == (204, b"")
    assert deleted_answer.status_code == 204
    headers = [created, updated, deleted]
    assert [header["changeType"] for header in headers] == ["CREATE", "UPDATE", "DELETE"]
    assert [header["recordIds"] for header in headers] == [[record_id]] * 3
    assert updated["changedFields"] == ["Phone", "LastModifiedDate"]


@pytest.mark.parametrize(
    ("options", "end"),
    [
        ({}, ""),
        ({"Sforce-Call-Options": "client=My App/1"}, ";client=My App/1"),
        ({"Sforce-Call-Options": "defaultNamespace=x, client=erp"}, ";client=erp"),
    ],
)
def test_the_origin_names_the_client(
    shared_org: SimulatorProcess, writer: WireClient, options: dict[str, str], end: str
) -> None:
    send(writer, "POST", f"{SOBJECTS}/Account", {"Name": "Acme"}, **options)

    assert newest_header(shared_org)["changeOrigin"] == f"com/salesforce/api/rest/61.0{end}"


def test_flat_fields_become_compound_ones(shared_org: SimulatorProcess, writer: WireClient) -> None:
    fields = {"FirstName": "Mei", "LastName": "Ito", "MailingCity": "Osaka", "Email": "m@x.jp"}
    record_id = send(writer, "POST", f"{SOBJECTS}/Contact", fields).json()["id"]

    send(writer, "PATCH", f"{SOBJECTS}/Contact/{record_id}", {"FirstName": None})

    stored = shared_org.state(events=0)["records"]["Contact"][record_id]
    assert (stored["Name"], stored["MailingAddress"]) == ({"LastName": "Ito"}, {"City": "Osaka"})
    header = newest_header(shared_org)
    assert header["changedFields"] == ["Name.FirstName", "LastModifiedDate"]
    assert header["nulledFields"] == ["Name.FirstName"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "fields"),
    [
        ("POST", "Account", {"Name": "A", "Colour": 1}, 400, "INVALID_FIELD", None),
        ("POST", "Account", {}, 400, "REQUIRED_FIELD_MISSING", ["Name"]),
        ("PATCH", "Account/{id}", {"Name": None}, 400, "REQUIRED_FIELD_MISSING", ["Name"]),
        (
            "PATCH",
            "Account/{id}",
            {"CreatedDate": "2026-01-01"},
            400,
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            ["CreatedDate"],
        ),
        ("PATCH", "Account/{id}", {"Id": "x"}, 400, "INVALID_FIELD", None),
        ("PATCH", "Account/{id}", "{", 400, "JSON_PARSER_ERROR", None),
        ("POST", "Account", "[]", 400, "JSON_PARSER_ERROR", None),
        ("POST", "Account", "\xff", 400, "JSON_PARSER_ERROR", None),
        ("POST", "Lead", {}, 404, "NOT_FOUND", None),
        ("PATCH", f"Account/{UNKNOWN_ID}", {}, 404, "NOT_FOUND", None),
        ("DELETE", f"Account/{UNKNOWN_ID}", None, 404, "NOT_FOUND", None),
        ("DELETE", "Account/{deleted}", None, 404, "ENTITY_IS_DELETED", []),
        ("PATCH", "Account/{deleted}", {}, 404, "ENTITY_IS_DELETED", []),
        ("PATCH", "Account/001x", {}, 400, "MALFORMED_ID", ["Id"]),
        ("GET", "Account/0015g00000AAAAAAA0", None, 400, "MALFORMED_ID", ["Id"]),
        ("GET", "Contact/{id}", None, 400, "MALFORMED_ID", ["Id"]),
        ("DELETE", "Account", None, 405, "METHOD_NOT_ALLOWED", None),
        ("POST", "Account/{id}", {}, 405, "METHOD_NOT_ALLOWED", None),
    ],
)
def test_a_write_that_is_refused(
    shared_org: SimulatorProcess,
    writer: WireClient,
    method: str,
    path: str,
    body: Any,
    status: int,
    code: str,
    fields: list[str] | None,
) -> None:
    kept, deleted = shared_org.create("Account", {"Name": "Kept"}, {"Name": "Gone"})
    shared_org.delete("Account", deleted)
    before = shared_org.state(events=0, records=0)["events_published"]

    response = send(writer, method, f"{SOBJECTS}/{path.format(id=kept, deleted=deleted)}", body)

    assert response.status_code == status
    [error] = response.json()
    assert (error["errorCode"], error.get("fields")) == (code, fields)
    assert error["message"]
    assert shared_org.state(events=0, records=0)["events_published"] == before


def test_a_write_needs_a_token(shared_client: WireClient) -> None:
    response = send(shared_client, "POST", f"{SOBJECTS}/Account", {"Name": "Acme"})

    assert response.status_code == 401
    assert response.json()[0]["errorCode"] == "INVALID_SESSION_ID"


def test_many_records_are_read_at_once(shared_org: SimulatorProcess, writer: WireClient) -> None:
    first, gone, last = shared_org.create("Account", *({"Name": name} for name in "ABC"))
    shared_org.delete("Account", gone)
    path = "/services/data/v61.0/composite/sobjects/Account"
    ids = [last, UNKNOWN_ID, gone, first[:15]]

    posted = send(writer, "POST", path, {"ids": ids, "fields": ["Name", "Phone"]}).json()
    got = writer.get(path, ids=",".join(ids), fields="Name,Phone").json()

    names = [row and (row["Name"], row["Phone"]) for row in posted]
    assert names == [("C", None), None, None, ("A", None)]
    assert posted[0]["attributes"]["type"] == "Account"
    assert got == posted


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"ids": [UNKNOWN_ID] * 2_001, "fields": ["Name"]}, "EXCEEDED_ID_LIMIT"),
        ({"ids": [UNKNOWN_ID], "fields": ["Colour"]}, "INVALID_FIELD"),
        ({"ids": ["x"], "fields": ["Name"]}, "MALFORMED_ID"),
        ({"ids": UNKNOWN_ID, "fields": ["Name"]}, "JSON_PARSER_ERROR"),
        ({"fields": ["Name"]}, "JSON_PARSER_ERROR"),
    ],
)
def test_many_records_that_cannot_be_read(
    writer: WireClient, body: dict[str, Any], code: str
) -> None:
    path = "/services/data/v61.0/composite/sobjects/Account"

    response = send(writer, "POST", path, body)

    assert response.status_code == 400
    assert response.json()[0]["errorCode"] == code


def test_two_thousand_records_are_read_at_once(writer: WireClient) -> None:
    path = "/services/data/v61.0/composite/sobjects/Account"
    body = {"ids": [UNKNOWN_ID] * 2_000, "fields": ["Name"]}

    assert send(writer, "POST", path, body).json() == [None] * 2_000
