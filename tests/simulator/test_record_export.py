"""The store can be exported, and records can vanish without an event."""

import pytest

from tests.simulator.process import SimulatorProcess
from tests.simulator.rest_client import RestClient

pytestmark = pytest.mark.anywhere


def test_the_export_has_live_and_deleted_records_with_all_fields(org: SimulatorProcess) -> None:
    kept, gone = org.create("Account", {"Name": "Kept", "Phone": "1"}, {"Name": "Gone"})
    org.create("Contact", Name={"LastName": "Doe"})
    org.delete("Account", gone)

    live, deleted = org.records("Account")

    assert (live["entity"], live["id"], live["deleted"]) == ("Account", kept, False)
    assert (deleted["id"], deleted["deleted"], deleted["fields"]["IsDeleted"]) == (gone, True, True)
    shown = RestClient(org).send("GET", f"sobjects/Account/{kept}").json()
    del shown["attributes"]
    assert live["fields"] == shown


def test_a_hard_delete_leaves_neither_an_event_nor_a_row(org: SimulatorProcess) -> None:
    live, binned, kept = org.create("Account", {"Name": "A"}, {"Name": "B"}, {"Name": "C"})
    org.delete("Account", binned)

    answer = org.hard_delete("Account", [live, binned])

    found = RestClient(org).send("GET", "queryAll", q="SELECT Id FROM Account").json()
    assert answer["events"] == []
    assert [row["Id"] for row in found["records"]] == [kept]
    assert [record["id"] for record in org.records("Account")] == [kept]


def test_a_refused_transaction_restores_what_it_erased(org: SimulatorProcess) -> None:
    [kept] = org.create("Account", Name="A")

    with pytest.raises(ValueError, match="no live Account"):
        org.change(
            {"op": "hard_delete", "entity": "Account", "record_ids": [kept]},
            {"op": "delete", "entity": "Account", "record_ids": [kept]},
        )

    assert [record["id"] for record in org.records("Account")] == [kept]
