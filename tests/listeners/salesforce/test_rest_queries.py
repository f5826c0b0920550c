from __future__ import annotations

import pytest

from listeners.salesforce.errors import RestRefused, TransportFailed
from listeners.salesforce.rest.client import RestClient
from tests.listeners.salesforce.scripted import ScriptedOrg, of_json, plain_http

QUERY = "/services/data/v67.0/query"
SOQL = "SELECT Id FROM Account WHERE Name = 'A&B'"


def client(org: ScriptedOrg) -> RestClient:
    return RestClient(org.tokens(), "67.0", (60, 60), http=plain_http())


def asked_at(path: str, soql: str) -> str:
    from urllib.parse import quote

    return f"{path}?q={quote(soql, safe='')}"


def test_pages_are_followed_to_the_end(org: ScriptedOrg) -> None:
    more = f"{QUERY}/01g-2000"
    first = {"totalSize": 2, "done": False, "nextRecordsUrl": more, "records": [{"Id": "1"}]}
    org.tell(asked_at(QUERY, SOQL), of_json(first))
    org.tell(more, of_json({"totalSize": 2, "done": True, "records": [{"Id": "2"}]}))

    assert list(client(org).query(SOQL)) == [[{"Id": "1"}], [{"Id": "2"}]]


def test_a_page_that_names_no_other_is_the_last(org: ScriptedOrg) -> None:
    org.tell(asked_at(QUERY, SOQL), of_json({"records": [{"Id": "1"}], "nextRecordsUrl": None}))

    assert list(client(org).query(SOQL)) == [[{"Id": "1"}]]


def test_deleted_rows_are_asked_for_elsewhere(org: ScriptedOrg) -> None:
    org.tell(asked_at(f"{QUERY}All", SOQL), of_json({"totalSize": 0, "done": True, "records": []}))

    assert list(client(org).query(SOQL, deleted=True)) == [[]]


@pytest.mark.parametrize(
    "page",
    [
        {"records": [], "done": False},
        {"records": [], "done": True, "nextRecordsUrl": "https://elsewhere.example/query/1"},
        {"records": [], "done": False, "nextRecordsUrl": "https://elsewhere.example/query/1"},
        {"done": True},
    ],
)
def test_a_page_that_does_not_say_how_to_go_on_is_no_answer(
    org: ScriptedOrg, page: dict[str, object]
) -> None:
    """Taking it for the last page would hide missing rows."""
    org.tell(asked_at(QUERY, SOQL), of_json(page))

    with pytest.raises(TransportFailed, match="not with a query result"):
        list(client(org).query(SOQL))


def test_a_query_whose_cursor_was_closed_can_be_repeated(org: ScriptedOrg) -> None:
    more = f"{QUERY}/01g-2000"
    org.tell(asked_at(QUERY, SOQL), of_json({"done": False, "nextRecordsUrl": more, "records": []}))
    refusal = [{"message": "invalid query locator", "errorCode": "INVALID_QUERY_LOCATOR"}]
    org.tell(more, of_json(refusal, 400))

    with pytest.raises(TransportFailed, match="closed the query"):
        list(client(org).query(SOQL))


def test_a_refused_query_says_why(org: ScriptedOrg) -> None:
    refusal = [{"message": "sObject type 'X' is not supported.", "errorCode": "INVALID_TYPE"}]
    org.tell(asked_at(QUERY, SOQL), of_json(refusal, 400))

    with pytest.raises(RestRefused, match="INVALID_TYPE"):
        list(client(org).query(SOQL))
