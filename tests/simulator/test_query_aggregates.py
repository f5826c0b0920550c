"""Queries with aggregates, groups and date literals work over REST."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.simulator.process import SimulatorProcess
from tests.simulator.rest_client import RestClient

pytestmark = pytest.mark.anywhere

STAGES = ("Won", "Lost", "Won")


@pytest.fixture(scope="module")
def rest(shared_org: SimulatorProcess) -> RestClient:
    """A client of an org with opportunities of three days, the newest written today."""
    zone = ZoneInfo("America/Los_Angeles")  # of the user, by which a query's days begin
    hour = datetime.fromtimestamp(shared_org.state()["now"] / 1000, zone).hour
    shared_org.advance((36 - hour) % 24 * 3_600)  # to noon, from which no day's end is near
    for number, stage in enumerate(STAGES):
        if number:
            shared_org.advance(86_400)
        shared_org.create("Opportunity", Name=f"N{number}", StageName=stage, Amount=number * 10)
    return RestClient(shared_org)


def rows(rest: RestClient, query: str) -> list[dict[str, Any]]:
    answer = rest.send("GET", "query", q=query).json()
    assert answer["done"], answer
    return [
        {name: value for name, value in row.items() if name != "attributes"}
        for row in answer["records"]
    ]


def test_a_bucket_is_counted_with_its_newest_modification(rest: RestClient) -> None:
    stamps = [
        row["SystemModstamp"]
        for row in rows(rest, "SELECT SystemModstamp FROM Opportunity ORDER BY SystemModstamp")
    ]
    start, end = stamps[0].replace("+0000", "Z"), stamps[2].replace("+0000", "Z")

    answer = rest.send(
        "GET",
        "query",
        q="SELECT COUNT(Id), MAX(SystemModstamp), MIN(Amount) low FROM Opportunity "
        f"WHERE CreatedDate >= {start} AND CreatedDate < {end}",
    ).json()

    assert answer == {
        "totalSize": 1,
        "done": True,
        "records": [
            {
                "attributes": {"type": "AggregateResult"},
                "expr0": 2,
                "expr1": stamps[1],
                "low": 0,
            }
        ],
    }


def test_a_bucket_without_rows_is_one_result(rest: RestClient) -> None:
    found = rows(
        rest,
        "SELECT COUNT(Id), MAX(SystemModstamp), SUM(Amount) FROM Opportunity "
        "WHERE CreatedDate < 2001-01-01T00:00:00Z",
    )

    assert found == [{"expr0": 0, "expr1": None, "expr2": None}]


def test_groups_are_ordered_and_limited(rest: RestClient) -> None:
    grouped = "FROM Opportunity GROUP BY StageName ORDER BY COUNT(Id) DESC"

    assert rows(rest, f"SELECT StageName, COUNT(Id) number, AVG(Amount) {grouped}") == [
        {"StageName": "Won", "number": 2, "expr0": 10},
        {"StageName": "Lost", "number": 1, "expr0": 10},
    ]
    assert len(rows(rest, f"SELECT StageName {grouped} LIMIT 1")) == 1


def test_groups_of_a_date_function(rest: RestClient) -> None:
    stamps = [row["CreatedDate"] for row in rows(rest, "SELECT CreatedDate FROM Opportunity")]

    found = rows(
        rest,
        "SELECT CALENDAR_YEAR(CreatedDate), CALENDAR_MONTH(CreatedDate) month, "
        "DAY_ONLY(CreatedDate) day, COUNT(Id) FROM Opportunity "
        "GROUP BY CALENDAR_YEAR(CreatedDate), "
        "CALENDAR_MONTH(CreatedDate), DAY_ONLY(CreatedDate) ORDER BY DAY_ONLY(CreatedDate)",
    )

    assert found == [
        {"expr0": int(one[:4]), "month": int(one[5:7]), "day": one[:10], "expr1": 1}
        for one in stamps
    ]


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ("CreatedDate = TODAY", 1),
        ("CreatedDate = YESTERDAY", 1),
        ("CreatedDate < TODAY", 2),
        ("CreatedDate >= YESTERDAY", 2),
        ("CreatedDate > YESTERDAY", 1),
        ("CreatedDate != TODAY", 2),
        ("CreatedDate = LAST_N_DAYS:1", 2),
        ("CreatedDate = last_n_days:2", 3),
        ("CreatedDate = N_DAYS_AGO:2", 1),
        ("CreatedDate > TOMORROW", 0),
        ("CreatedDate > NEXT_YEAR", 0),
        ("CreatedDate >= LAST_N_YEARS:2", 3),
        ("CreatedDate <= THIS_QUARTER", 3),
    ],
)
def test_date_literals(rest: RestClient, condition: str, count: int) -> None:
    assert rows(rest, f"SELECT COUNT(Id) n FROM Opportunity WHERE {condition}") == [{"n": count}]


def test_a_page_after_a_key_has_no_row_twice_and_misses_none(
    shared_org: SimulatorProcess, rest: RestClient
) -> None:
    created = shared_org.create("Employee__c", *({"Notes__c": str(number)} for number in range(50)))
    found: list[str] = []
    condition = "SystemModstamp > 2001-01-01T00:00:00Z"
    while page := rows(
        rest,
        f"SELECT Id, SystemModstamp FROM Employee__c WHERE {condition} "
        "ORDER BY SystemModstamp, Id LIMIT 7",
    ):
        found += [row["Id"] for row in page]
        stamp, last = page[-1]["SystemModstamp"].replace("+0000", "Z"), page[-1]["Id"]
        condition = f"((SystemModstamp = {stamp} AND Id > '{last}') OR SystemModstamp > {stamp})"

    assert found == sorted(created)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT Name, COUNT(Id) FROM Opportunity", "Field must be grouped or aggregated: Name"),
        ("SELECT SUM(Name) FROM Opportunity", "does not support aggregate operator SUM"),
        ("SELECT COUNT(Id) FROM Opportunity GROUP BY CreatedDate", "can not be grouped"),
        ("SELECT COUNT(Id) FROM Opportunity GROUP BY COUNT(Id)", "unexpected token"),
        ("SELECT Id FROM Opportunity WHERE Amount = 1 AND Amount = 2 OR Amount = 3", "'OR'"),
        ("SELECT Id FROM Opportunity WHERE CreatedDate = LAST_N_DAYS", "'LAST_N_DAYS'"),
    ],
)
def test_a_query_that_salesforce_refuses(rest: RestClient, query: str, message: str) -> None:
    response = rest.send("GET", "query", q=query)

    [error] = response.json()
    assert (response.status_code, error["errorCode"]) == (400, "MALFORMED_QUERY")
    assert message in error["message"]
