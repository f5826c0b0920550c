"""Numbers of records keep all digits that Salesforce returns, if the client is made for it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from listeners.salesforce.rest.client import RestClient
from tests.listeners.salesforce.scripted import Reply, ScriptedOrg, plain_http

RECORD = "001000000000001AAA"
TEXT = f'{{"Id": "{RECORD}", "AnnualRevenue": 1234567890123456.78, "NumberOfEmployees": 3}}'
DATA, SOQL = "/services/data/v67.0", "Account"


@pytest.mark.parametrize(
    ("number", "expected"),
    [(Decimal, Decimal("1234567890123456.78")), (float, 1234567890123456.8)],
)
def test_digits_of_records(
    org: ScriptedOrg, number: type[float | Decimal], expected: float | Decimal
) -> None:
    org.tell(f"{DATA}/sobjects/Account/{RECORD}", Reply(TEXT.encode()))
    org.tell(f"{DATA}/composite/sobjects/Account", Reply(f"[{TEXT}]".encode()))
    org.tell(f"{DATA}/query?q={SOQL}", Reply(f'{{"done": true, "records": [{TEXT}]}}'.encode()))
    rest = RestClient(org.tokens(), "67.0", (60, 60), http=plain_http(), number=number)

    [read] = rest.read_many("Account", [RECORD]).records.values()
    [[row]] = rest.query("Account")

    for record in (read, row):
        assert (record["AnnualRevenue"], record["NumberOfEmployees"]) == (expected, 3)
        assert type(record["AnnualRevenue"]) is number
