"""SOQL over REST finds what a client that reconciles needs, and refuses wrong queries."""

from typing import Any

import pytest

from tests.simulator.process import SimulatorProcess
from tests.simulator.wire_client import WireClient

pytestmark = pytest.mark.anywhere


@pytest.fixture(scope="module")
def opportunities(shared_org: SimulatorProcess) -> dict[str, str]:
    """Opportunities' ids by name: A was written a day before B and two days before C, and D is
    deleted last."""
    ids: dict[str, str] = {}
    given: dict[str, dict[str, Any]] = {
        "D": {"Amount": 7},
        "A": {"Amount": 5, "CloseDate": "2026-01-31", "StageName": "Won"},
        "B": {"Amount": 9, "CloseDate": "2026-02-28", "NextStep": "It's 50%\n_done"},
        "C": {"Amount": 100, "StageName": "Lost"},
    }
    for name, fields in given.items():
        [ids[name]] = shared_org.create("Opportunity", {"Name": name, **fields})
        if name != "D":
            shared_org.advance(86_400)
    shared_org.delete("Opportunity", ids["D"])
    return ids


@pytest.fixture
def client(opportunities: dict[str, str], shared_client: WireClient) -> WireClient:
    return shared_client.log_in()


def query(client: WireClient, text: str, kind: str = "query") -> Any:
    return client.get(f"/services/data/v60.0/{kind}", q=text).json()


@pytest.mark.parametrize(
    ("rest", "names"),
    [
        ("", "ABC"),
        ("WHERE Name = 'b'", "B"),
        ("where amount >= 9", "BC"),
        ("WHERE Amount > 5 AND Name != 'C' LIMIT 1", "B"),
        ("WHERE Amount IN (5, 100.0)", "AC"),
        ("WHERE Amount NOT IN (5, 9)", "C"),
        ("WHERE NextStep = null", "AC"),
        ("WHERE NextStep != null", "B"),
        ("WHERE StageName != 'Won'", "BC"),
        ("WHERE NextStep = 'It\\'s 50%\\n_done'", "B"),
        ("WHERE NextStep LIKE 'it%done'", "B"),
        ("WHERE NextStep LIKE 'it_'", ""),
        ("WHERE CloseDate > 2026-01-31", "B"),
        ("WHERE CloseDate = 2026-01-31", "A"),
        ("WHERE (Name = 'A' OR Name = 'B') AND NOT Amount = 5", "B"),
        ("WHERE Name = 'A' OR Name = 'C'", "AC"),
        ("WHERE IsDeleted = false", "ABC"),
        ("WHERE IsDeleted = true", ""),
        ("ORDER BY Amount DESC", "CBA"),
        ("ORDER BY CloseDate", "CAB"),
        ("ORDER BY CloseDate DESC NULLS LAST, Name", "BAC"),
        ("ORDER BY StageName NULLS FIRST, Name LIMIT 2", "BC"),
        ("ORDER BY Name LIMIT 1 OFFSET 1", "B"),
        ("LIMIT 0", ""),
    ],
)
def test_a_query_finds(client: WireClient, rest: str, names: str) -> None:
    answer = query(client, f"SELECT Id, Name FROM Opportunity {rest}")

    assert "".join(record["Name"] for record in answer["records"]) == names
    assert (answer["totalSize"], answer["done"]) == (len(names), True)


def test_a_window_of_time_is_closed_below_and_open_above(client: WireClient) -> None:
    stamps = [
        row["SystemModstamp"]
        for row in query(client, "SELECT SystemModstamp FROM Opportunity ORDER BY Name")["records"]
    ]
    a, b, _ = (stamp.replace("+0000", "Z") for stamp in stamps)
    elsewhere = b.replace(".000Z", "+00:00")

    found = query(
        client,
        f"SELECT Name FROM Opportunity WHERE SystemModstamp >= {a} AND SystemModstamp < "
        f"{elsewhere} ORDER BY SystemModstamp, Id LIMIT 200",
    )

    assert [row["Name"] for row in found["records"]] == ["A"]


def test_a_moment_may_be_in_another_time_zone(client: WireClient) -> None:
    found = query(
        client,
        "SELECT Name FROM Opportunity WHERE CreatedDate > 2020-01-01T00:00:00+02:00 "
        "AND CreatedDate > 2020-01-01T00:00:00.000Z",
    )

    assert found["totalSize"] == 3


def test_deleted_rows_are_found_by_when_they_were_deleted(
    client: WireClient, opportunities: dict[str, str]
) -> None:
    newest = query(client, "SELECT SystemModstamp FROM Opportunity WHERE Name = 'C'")
    after = newest["records"][0]["SystemModstamp"].replace("+0000", "Z")

    found = query(
        client,
        f"SELECT Id, IsDeleted FROM Opportunity WHERE SystemModstamp > {after}",
        kind="queryAll",
    )

    [row] = found["records"]
    assert (row["Id"], row["IsDeleted"]) == (opportunities["D"], True)


def test_ids_may_have_15_characters(client: WireClient, opportunities: dict[str, str]) -> None:
    ids = f"'{opportunities['A'][:15]}', '{opportunities['C']}', '006000000000000'"

    found = query(client, f"SELECT Name FROM Opportunity WHERE Id IN ({ids}) AND Amount > 1")

    assert [row["Name"] for row in found["records"]] == ["A", "C"]


def test_a_query_may_be_long(client: WireClient, opportunities: dict[str, str]) -> None:
    ids = ",".join(f"'{opportunities['B']}'" for _ in range(500))

    found = query(client, f"SELECT Name FROM Opportunity WHERE Id IN ({ids})")

    assert [row["Name"] for row in found["records"]] == ["B"]


@pytest.mark.parametrize(
    ("kind", "rest", "count"),
    [("query", "", 3), ("queryAll", "", 4), ("query", "WHERE Amount > 5", 2)],
)
def test_rows_can_be_counted(client: WireClient, kind: str, rest: str, count: int) -> None:
    answer = query(client, f"SELECT COUNT() FROM Opportunity {rest}", kind)

    assert answer == {"totalSize": count, "done": True, "records": []}


def test_fields_have_the_orgs_spelling_and_empty_ones_are_null(client: WireClient) -> None:
    [row] = query(client, "SELECT name, NEXTSTEP FROM opportunity WHERE name = 'A'")["records"]

    assert row.pop("attributes")["type"] == "Opportunity"
    assert row == {"Name": "A", "NextStep": None}


@pytest.mark.parametrize(
    ("text", "code", "problem"),
    [
        ("DROP TABLE", "MALFORMED_QUERY", "ERROR at Row:1:Column:1\nunexpected token: 'DROP'"),
        ("", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        ("SELECT FROM Case", "MALFORMED_QUERY", "unexpected token: 'Case'"),
        ("SELECT Id FROM Case WHERE x", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        ("SELECT Id FROM Case WHERE Id = x", "MALFORMED_QUERY", "unexpected token: 'x'"),
        ("SELECT Id FROM Case WHERE Id = 'x", "MALFORMED_QUERY", "unexpected token: ''x'"),
        ("SELECT Id FROM Case LIMIT -1", "MALFORMED_QUERY", "unexpected token: '-1'"),
        ("SELECT Id FROM Case GROUP BY Subject", "MALFORMED_QUERY", "Field must be grouped or"),
        (
            "SELECT Id FROM Case WHERE Id = '1' AND Id = '2' OR Id = '3'",
            "MALFORMED_QUERY",
            "unexpected token: 'OR'",
        ),
        (
            "SELECT Id FROM Case WHERE CreatedDate > 2026-13-01T00:00:00Z",
            "MALFORMED_QUERY",
            "unexpected token: '2026-13-01T00:00:00Z'",
        ),
        ("SELECT Id FROM Lead", "INVALID_TYPE", "sObject type 'Lead' is not supported."),
        ("SELECT Colour FROM Case", "INVALID_FIELD", "No such column 'Colour' on entity 'Case'."),
        ("SELECT Id FROM Case WHERE Colour = 1", "INVALID_FIELD", "No such column 'Colour'"),
        ("SELECT Id FROM Case ORDER BY Colour", "INVALID_FIELD", "No such column 'Colour'"),
        (
            "SELECT Id FROM Case WHERE SystemModstamp > '2026-01-01T00:00:00Z'",
            "INVALID_FIELD",
            "must be of type dateTime and should not be enclosed in quotes",
        ),
    ],
)
def test_a_query_that_is_refused(client: WireClient, text: str, code: str, problem: str) -> None:
    response = client.get("/services/data/v60.0/query", q=text)

    assert response.status_code == 400
    [error] = response.json()
    assert error["errorCode"] == code
    assert problem in error["message"]


def test_a_locator_that_is_unknown(client: WireClient) -> None:
    response = client.get("/services/data/v60.0/query/01g5g0000000001AAA-2000")

    assert response.status_code == 400
    assert response.json()[0]["errorCode"] == "INVALID_QUERY_LOCATOR"


def test_fields_that_a_test_made_up_can_be_asked_for(
    shared_org: SimulatorProcess, client: WireClient
) -> None:
    shared_org.create("Case", Subject="Help", Mood__c="good")
    shared_org.entity("Visit__c")
    shared_org.create("Visit__c", Place__c="Oslo")

    moods = query(client, "SELECT Mood__c FROM Case WHERE Mood__c = 'good'")
    places = query(client, "SELECT Place__c, Date__c FROM Visit__c")

    assert moods["records"][0]["Mood__c"] == "good"
    assert (places["records"][0]["Place__c"], places["records"][0]["Date__c"]) == ("Oslo", None)


def test_batches_can_be_made_small() -> None:
    with SimulatorProcess("--query-batch-size", "2") as org, WireClient(org) as client:
        org.create("Account", *({"Name": str(number)} for number in range(5)))
        answers = [query(client.log_in(), "SELECT Name FROM Account")]
        while not answers[-1]["done"]:
            answers.append(client.get(answers[-1]["nextRecordsUrl"]).json())

    assert [[row["Name"] for row in answer["records"]] for answer in answers] == [
        ["0", "1"],
        ["2", "3"],
        ["4"],
    ]
    assert "nextRecordsUrl" not in answers[-1]


def test_a_result_can_be_read_on_for_two_days(org: SimulatorProcess) -> None:
    org.create("Account", *({"Name": str(number)} for number in range(2_100)))
    with WireClient(org) as client:
        more = query(client.log_in(), "SELECT Id FROM Account")["nextRecordsUrl"]
        org.advance(47 * 3_600)
        before = client.log_in().get(more).json()
        org.advance(2 * 3_600)
        after = client.log_in().get(more).json()

    assert len(before["records"]) == 100
    assert after[0]["errorCode"] == "INVALID_QUERY_LOCATOR"
