"""Merges, cascades, roll-ups, formulas and late transactions behave as in Salesforce."""

from datetime import datetime
from typing import Any

import pytest

from tests.simulator.process import SimulatorProcess
from tests.simulator.rest_client import RestClient

pytestmark = pytest.mark.anywhere


@pytest.fixture
def rest(org: SimulatorProcess) -> RestClient:
    return RestClient(org)


def events(answer: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    headers = [event["header"] for event in answer["events"]]
    return [(one["entityName"], one["changeType"], one["recordIds"]) for one in headers]


def rows(rest: RestClient, query: str, kind: str = "query") -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = rest.send("GET", kind, q=query).json()["records"]
    return records


def test_a_merge_updates_the_winner_and_deletes_the_losers(
    org: SimulatorProcess, rest: RestClient
) -> None:
    kept, lost = org.create("Account", {"Name": "Kept"}, {"Name": "Lost"})
    [child] = org.create("Contact", Name={"LastName": "Doe"}, AccountId=lost)
    before = rest.send("GET", f"sobjects/Contact/{child}").json()
    org.advance(10)

    answer = org.merge("Account", kept, lost, fields={"Phone": "1"})

    assert events(answer) == [("Account", "UPDATE", [kept]), ("Account", "DELETE", [lost])]
    query = "SELECT Id, IsDeleted, MasterRecordId FROM Account WHERE MasterRecordId != null"
    [loser] = rows(rest, query, "queryAll")
    assert (loser["Id"], loser["IsDeleted"], loser["MasterRecordId"]) == (lost, True, kept)
    assert rows(rest, query) == []
    after = rest.send("GET", f"sobjects/Contact/{child}").json()
    assert after["AccountId"] == kept
    assert after["SystemModstamp"] > before["SystemModstamp"]
    assert after["LastModifiedDate"] == before["LastModifiedDate"]


def test_a_merge_can_publish_the_changes_of_children(org: SimulatorProcess) -> None:
    kept, lost = org.create("Account", {"Name": "Kept"}, {"Name": "Lost"})
    [child] = org.create("Contact", Name={"LastName": "Doe"}, AccountId=lost)

    answer = org.merge("Account", kept, lost, child_events=True)

    assert ("Contact", "UPDATE", [child]) in events(answer)


def test_a_cascade_deletes_the_children_and_an_undelete_restores_them(
    org: SimulatorProcess, rest: RestClient
) -> None:
    [parent] = org.create("Account", Name="Parent")
    first, second = org.create(
        "Contact",
        {"Name": {"LastName": "A"}, "AccountId": parent},
        {"Name": {"LastName": "B"}, "AccountId": parent},
    )
    [deleted_before] = org.create("Contact", Name={"LastName": "C"}, AccountId=parent)
    org.delete("Contact", deleted_before)

    delete = {"op": "delete", "entity": "Account", "record_ids": [parent], "cascade": True}
    deleted = org.change(delete)
    restored = org.undelete("Account", parent)

    assert events(deleted) == [
        ("Account", "DELETE", [parent]),
        ("Contact", "DELETE", [first, second]),
    ]
    keys = {event["header"]["transactionKey"] for event in deleted["events"]}
    assert len(keys) == 1
    assert [one[:2] for one in events(restored)] == [("Account", "UNDELETE")] + [
        ("Contact", "UNDELETE")
    ] * 2
    assert [row["Id"] for row in rows(rest, "SELECT Id FROM Contact")] == [first, second]


def test_a_rollup_changes_with_the_children(org: SimulatorProcess, rest: RestClient) -> None:
    rollup = {"entity": "Opportunity", "reference": "AccountId", "function": "sum"}
    org.entity("Account", rollups={"Total__c": {**rollup, "field": "Amount"}})
    [parent] = org.create("Account", Name="Parent")
    child, *_ = org.create("Opportunity", Name="A", Amount=5, AccountId=parent)

    updated = org.update("Opportunity", child, Amount=7)
    total = rest.send("GET", f"sobjects/Account/{parent}").json()["Total__c"]
    erased = org.hard_delete("Opportunity", child)

    assert events(updated) == [
        ("Opportunity", "UPDATE", [child]),
        ("Account", "UPDATE", [parent]),
    ]
    assert total == 7
    assert events(erased) == [("Account", "UPDATE", [parent])]


def test_a_formula_changes_without_a_trace(org: SimulatorProcess, rest: RestClient) -> None:
    formulas = {
        "Of__c": {"formula": "LastName & ' of ' & Account.Name"},
        "Twice__c": {"formula": "(Size__c + 1) * 2", "type": "double"},
    }
    org.entity("Contact", fields={"Size__c": "double"}, formulas=formulas)
    [parent] = org.create("Account", Name="Acme")
    [child] = org.create("Contact", Name={"LastName": "Doe"}, AccountId=parent, Size__c=3)
    query = "SELECT Of__c, Twice__c, SystemModstamp FROM Contact WHERE Of__c LIKE 'doe%'"
    [before] = rows(rest, query)
    org.advance(10)

    answer = org.update("Account", parent, Name="Globex")

    [after] = rows(rest, query)
    assert (before["Of__c"], before["Twice__c"]) == ("Doe of Acme", 8)
    assert after["Of__c"] == "Doe of Globex"
    assert after["SystemModstamp"] == before["SystemModstamp"]
    assert events(answer) == [("Account", "UPDATE", [parent])]
    described = rest.send("GET", "sobjects/Contact/describe").json()["fields"]
    [field] = [one for one in described if one["name"] == "Of__c"]
    assert (field["calculated"], field["updateable"]) == (True, False)
    refused = rest.send("PATCH", f"sobjects/Contact/{child}", {"Of__c": "x"})
    assert refused.json()[0]["errorCode"] == "INVALID_FIELD_FOR_INSERT_UPDATE"


def test_a_wrong_formula_is_refused(org: SimulatorProcess) -> None:
    with pytest.raises(ValueError, match="cannot read the formula"):
        org.entity("Contact", formulas={"Of__c": {"formula": "LastName &"}})


def test_a_late_row_appears_with_an_earlier_stamp(org: SimulatorProcess, rest: RestClient) -> None:
    create = {"op": "create", "entity": "Account", "fields": {"Name": "Late"}}

    [event] = org.change(create, seconds_before_commit=300)["events"]

    [row] = rows(rest, "SELECT CreatedDate, LastModifiedDate, SystemModstamp FROM Account")
    stamps = {row[name] for name in ("CreatedDate", "LastModifiedDate", "SystemModstamp")}
    [stamp] = stamps
    stamped_at = datetime.fromisoformat(stamp).timestamp() * 1000
    assert event["header"]["commitTimestamp"] == event["at"]
    assert stamped_at == (event["at"] - 300_000) // 1000 * 1000
