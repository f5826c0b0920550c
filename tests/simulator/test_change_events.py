"""Each kind of change gives the event that the protocol notes describe."""

from copy import deepcopy
from hashlib import sha256
from typing import Any

import pytest

from simulator.options import Options
from simulator.org.changes import Change, Create, Delete, Gap, Overflow, Undelete, Update, Wildcard
from simulator.org.events import HEADER
from simulator.org.org import Org, Writer

pytestmark = pytest.mark.anywhere

NOW = 1_712_694_387_250
STAMP = "2024-04-09T20:26:27.000Z"
LATER = NOW + 60_000


@pytest.fixture
def org() -> Org:
    return Org(Options(seed=1), now=NOW)


def create(org: Org, entity: str = "Account", **fields: Any) -> str:
    [event] = org.commit([Create(entity, (fields,))], now=NOW)
    return str(header(event)["recordIds"][0])


def header(event: Any) -> dict[str, Any]:
    found: dict[str, Any] = event.payload["ChangeEventHeader"]
    return found


def body(event: Any) -> dict[str, Any]:
    return {name: value for name, value in event.payload.items() if name != "ChangeEventHeader"}


def test_a_create_has_all_non_empty_fields_and_the_system_fields(org: Org) -> None:
    fields = {"Name": "Acme", "Phone": None, "BillingAddress": {"City": "Paris", "State": None}}

    [event] = org.commit([Create("Account", (fields,))], now=NOW)

    user = header(event)["commitUser"]
    assert body(event) == {
        "Name": "Acme",
        "BillingAddress": {"City": "Paris"},
        "OwnerId": user,
        "CreatedDate": STAMP,
        "CreatedById": user,
        "LastModifiedDate": STAMP,
        "LastModifiedById": user,
    }
    assert header(event)["changeType"] == "CREATE"
    assert header(event)["changedFields"] == []
    assert header(event)["commitTimestamp"] == NOW


def test_an_update_has_the_changed_fields_and_explicit_nulls(org: Org) -> None:
    record_id = create(org, Name="Acme", Phone="1", Website="w")

    [event] = org.commit(
        [Update("Account", (record_id,), {"Name": "Acme", "Phone": None, "Website": "x"})],
        now=LATER,
    )

    assert body(event) == {
        "Phone": None,
        "Website": "x",
        "LastModifiedDate": "2024-04-09T20:27:27.000Z",
    }
    assert header(event)["changedFields"] == ["Phone", "Website", "LastModifiedDate"]
    assert header(event)["nulledFields"] == ["Phone"]


def test_an_update_of_a_compound_field_has_the_changed_children(org: Org) -> None:
    name = {"Salutation": "Ms.", "FirstName": "Mei", "LastName": "Ito"}
    record_id = create(org, "Contact", Name=name)

    [event] = org.commit(
        [Update("Contact", (record_id,), {"Name": {"Salutation": None, "FirstName": "May"}})],
        now=LATER,
    )

    assert event.payload["Name"] == {"Salutation": None, "FirstName": "May"}
    assert header(event)["changedFields"][:2] == ["Name.Salutation", "Name.FirstName"]
    assert header(event)["nulledFields"] == ["Name.Salutation"]
    stored = org.store.get("Contact", record_id).fields["Name"]
    assert stored == {"FirstName": "May", "LastName": "Ito"}


def test_an_update_by_another_user_names_the_user(org: Org) -> None:
    record_id = create(org, Name="Acme")
    other = Writer(user="0055g000009AAAAIA2", client="other-app")

    [event] = org.commit([Update("Account", (record_id,), {"Phone": "1"})], now=NOW, writer=other)

    assert event.payload["LastModifiedById"] == other.user
    assert header(event)["commitUser"] == other.user
    assert header(event)["changeOrigin"] == "com/salesforce/api/rest/67.0;client=other-app"


def test_large_text_travels_as_a_diff_with_the_digests_of_both_texts(org: Org) -> None:
    before = "\n".join(f"line {number}" for number in range(200))
    after = before.replace("line 7\n", "line seven\n")
    record_id = create(org, Description=before)

    [event] = org.commit(
        [Update("Account", (record_id,), {"Description": after}, ("Description",))], now=NOW
    )

    old, new, *hunks = event.payload["Description"]["diff"].split("\n")
    assert old == f"--- {sha256(before.encode()).hexdigest()}"
    assert new == f"+++ {sha256(after.encode()).hexdigest()}"
    assert hunks[0].startswith("@@ ")
    assert [line for line in hunks if line[0] in "+-"] == ["-line 7", "+line seven"]
    assert header(event)["diffFields"] == ["Description"]
    assert org.store.get("Account", record_id).fields["Description"] == after


@pytest.mark.parametrize(("before", "after"), [(1_000, 999), (999, 1_000), (10, 10)])
def test_a_text_under_a_thousand_characters_travels_whole(
    org: Org, before: int, after: int
) -> None:
    record_id = create(org, Description="a" * before)
    change = Update("Account", (record_id,), {"Description": "b" * after}, ("Description",))

    [event] = org.commit([change], now=NOW)

    assert event.payload["Description"] == "b" * after
    assert "diffFields" not in header(event)


def test_cometd_has_neither_the_cleared_nor_the_diffed_fields(org: Org) -> None:
    record_id = create(org, Phone="1", Description="a" * 1_000)
    fields = {"Phone": None, "Description": "b" * 1_000}
    [event] = org.commit([Update("Account", (record_id,), fields, ("Description",))], now=NOW)
    named = ["Phone", "Description", "LastModifiedDate"]

    def lists(version: float) -> dict[str, Any]:
        payload = event.data(version)["payload"]
        assert payload["Phone"] is None
        assert payload["Description"]["diff"].startswith("--- ")
        return {name: value for name, value in payload[HEADER].items() if name.endswith("Fields")}

    assert sorted(lists(67.0).pop("changedFields")) == sorted(named)
    assert lists(67.0).keys() == {"changedFields"}
    assert lists(46.0) == {}


def test_a_delete_has_only_a_header_and_an_undelete_has_everything(org: Org) -> None:
    record_id = create(org, Name="Acme")

    [deleted] = org.commit([Delete("Account", (record_id,))], now=NOW)
    [undeleted] = org.commit([Undelete("Account", (record_id,))], now=LATER)

    assert body(deleted) == {}
    assert undeleted.payload["Name"] == "Acme"
    assert undeleted.payload["CreatedDate"] == STAMP
    assert header(undeleted)["changeType"] == "UNDELETE"


def test_the_same_update_of_many_records_is_one_event(org: Org) -> None:
    ids = tuple(create(org, Name=f"Account {number}") for number in range(20))

    [event] = org.commit([Update("Account", ids, {"Industry": "Apparel"})], now=NOW)

    assert header(event)["recordIds"] == list(ids)


def test_different_changes_of_one_transaction_share_its_key(org: Org) -> None:
    record_id = create(org, Name="Acme")

    events = org.commit(
        [
            Create("Contact", ({"Name": {"LastName": "Ito"}},)),
            Update("Account", (record_id,), {"Phone": "1"}),
        ],
        now=NOW,
    )

    assert [header(event)["sequenceNumber"] for event in events] == [1, 2]
    assert len({header(event)["transactionKey"] for event in events}) == 1
    assert len({header(event)["commitNumber"] for event in events}) == 1


def test_several_writes_to_one_record_give_the_first_type_and_the_final_data(org: Org) -> None:
    record_id = create(org, Name="Acme", Phone="0")

    [event] = org.commit(
        [
            Update("Account", (record_id,), {"Phone": "1", "Website": "w"}),
            Update("Account", (record_id,), {"Phone": "2"}),
        ],
        now=NOW,
    )
    [created] = org.commit(
        [
            Create("Account", ({"Name": "New"},), record_id="0015g000000000AAAA"),
            Update("Account", ("0015g000000000AAAA",), {"Name": "Newer"}),
        ],
        now=NOW,
    )

    assert (event.payload["Phone"], event.payload["Website"]) == ("2", "w")
    assert header(created)["changeType"] == "CREATE"
    assert created.payload["Name"] == "Newer"


def test_one_save_of_many_records_may_come_as_several_events(org: Org) -> None:
    one, other = create(org, Name="A"), create(org, Name="B")
    save = [
        Update("Account", (one, other), {"Industry": "Apparel"}),
        Update("Account", (one,), {"Phone": "1"}, separate_fields=("Phone", "Website")),
        Update("Account", (other,), {"Website": "b"}, separate_fields=("Phone", "Website")),
    ]

    events = org.commit(save, now=LATER)

    stamp = "2024-04-09T20:27:27.000Z"
    assert [body(event) for event in events] == [
        {"Industry": "Apparel", "LastModifiedDate": stamp},
        {"Phone": "1"},
        {"Website": "b"},
    ]
    assert [header(event)["recordIds"] for event in events] == [[one, other], [one], [other]]
    assert [header(event)["sequenceNumber"] for event in events] == [1, 2, 3]
    assert [header(event)["changedFields"] for event in events] == [
        ["Industry", "LastModifiedDate"],
        ["Phone"],
        ["Website"],
    ]
    assert len({header(event)["transactionKey"] for event in events}) == 1
    assert org.store.get("Account", one).fields["Phone"] == "1"


def test_a_save_whose_fields_all_come_separately_begins_with_its_date(org: Org) -> None:
    record_id = create(org, Name="A")
    text = {"Phone": "1", "Website": None}

    events = org.commit(
        [Update("Account", (record_id,), text, separate_fields=("Phone",))], now=NOW
    )

    assert [body(event) for event in events] == [{"LastModifiedDate": STAMP}, {"Phone": "1"}]


def test_an_address_gets_its_coordinates_in_an_event_without_a_date(org: Org) -> None:
    record_id = create(org, BillingAddress={"City": "Paris"})
    place = {"BillingAddress": {"Latitude": 48.8, "Longitude": 2.3, "GeocodeAccuracy": "City"}}

    [event] = org.commit([Update("Account", (record_id,), place, is_stamped=False)], now=LATER)

    assert body(event) == place
    assert header(event)["changedFields"] == [
        *("BillingAddress.Latitude", "BillingAddress.Longitude", "BillingAddress.GeocodeAccuracy")
    ]
    record = org.store.get("Account", record_id)
    assert (record.fields["LastModifiedDate"], record.modified_at) == (STAMP, LATER)


def test_a_diff_is_that_of_the_whole_transaction(org: Org) -> None:
    texts = [letter * 1_000 for letter in "abc"]
    record_id = create(org, Description=texts[0])

    [event] = org.commit(
        [
            Update("Account", (record_id,), {"Description": text}, ("Description",))
            for text in texts[1:]
        ],
        now=NOW,
    )

    lines = event.payload["Description"]["diff"].split("\n")
    assert lines[-2:] == [f"-{texts[0]}", f"+{texts[2]}"]


def test_an_entity_that_is_not_selected_leaves_a_gap_in_the_sequence(org: Org) -> None:
    events = org.commit(
        [Create("Case", ({"Subject": "Help"},)), Create("Account", ({"Name": "Acme"},))], now=NOW
    )

    assert [header(event)["sequenceNumber"] for event in events] == [2]


@pytest.mark.parametrize("kind", ["GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE"])
def test_a_gap_event_has_only_a_header_with_many_ids(org: Org, kind: str) -> None:
    ids = ("001000000000001AAA", "001000000000002AAA")

    [event] = org.commit([Gap("Account", kind, ids)], now=NOW)

    assert body(event) == {}
    assert header(event)["changeType"] == kind
    assert header(event)["recordIds"] == list(ids)
    assert header(event)["changeOrigin"] == ""


def test_an_applied_gap_changes_the_record_untold(org: Org) -> None:
    record_id = create(org, Name="Acme")
    gap = Gap("Account", "GAP_UPDATE", (record_id,), {"Phone": "9"}, apply=True)

    [event] = org.commit([gap], now=NOW)

    assert body(event) == {}
    assert org.store.get("Account", record_id).fields["Phone"] == "9"


def test_an_overflow_and_a_wildcard_name_no_record(org: Org) -> None:
    [overflow, wildcard] = org.commit([Overflow("Account"), Wildcard("Account")], now=NOW)

    assert header(overflow)["recordIds"] == ["000000000000000AAA"]
    assert header(overflow)["changeType"] == "GAP_OVERFLOW"
    assert header(wildcard)["recordIds"] == ["001*"]
    assert body(wildcard) == {}


def test_too_many_changes_in_one_transaction_overflow(org: Org) -> None:
    org.overflow_after = 2
    records = tuple({"Name": f"Account {number}"} for number in range(5))

    events = org.commit([Create("Account", records)], now=NOW)

    types = [header(event)["changeType"] for event in events]
    assert types == ["CREATE", "CREATE", "GAP_OVERFLOW"]


def test_an_event_that_is_too_large_becomes_a_gap(org: Org) -> None:
    [event] = org.commit([Create("Account", ({"Description": "x" * 1_000_001},))], now=NOW)

    assert body(event) == {}
    assert header(event)["changeType"] == "GAP_CREATE"


def test_emptying_the_recycle_bin_causes_no_event(org: Org) -> None:
    record_id = create(org, Name="Acme")
    org.commit([Delete("Account", (record_id,))], now=NOW)

    org.store.empty_recycle_bin()

    assert org.log.total == 2


def test_a_transaction_applies_whole_or_not_at_all(org: Org) -> None:
    record_id = create(org, Name="Acme")
    delete = Delete("Account", (record_id,))

    with pytest.raises(LookupError, match="no live Account"):
        org.commit([delete, delete], now=NOW)

    assert org.store.get("Account", record_id).fields["Name"] == "Acme"


def test_a_transaction_that_fails_leaves_every_record_as_it_was(org: Org) -> None:
    kept, binned = create(org, Name="Kept"), create(org, Name="Binned")
    org.commit([Delete("Account", (binned,))], now=NOW)
    before = deepcopy((org.store.live, org.store.recycle_bin, org.log.total))
    changes: list[Change] = [
        Create("Account", ({"Name": "New"},), "001000000000009AAA"),
        Update("Account", (kept, "001000000000009AAA"), {"Phone": "1"}),
        Gap("Account", "GAP_UPDATE", (kept,), {"Phone": "2"}, apply=True),
        Delete("Account", (kept, "001000000000009AAA")),
        Undelete("Account", (binned,)),
        Delete("Account", ("001x",)),
    ]

    with pytest.raises(LookupError, match="no live Account has the id '001x'"):
        org.commit(changes, now=LATER)

    assert (org.store.live, org.store.recycle_bin, org.log.total) == before


def test_an_auto_number_names_a_custom_object(org: Org) -> None:
    [event] = org.commit([Create("Employee__c", ({"Tenure__c": 20},))], now=NOW)

    assert event.payload["Name"] == "EN-0001"
    assert header(event)["recordIds"][0].startswith("a00")


def test_commit_numbers_exceed_what_a_float_holds(org: Org) -> None:
    numbers = []
    for name in "ABC":
        [event] = org.commit([Create("Account", ({"Name": name},))], now=NOW)
        numbers.append(header(event)["commitNumber"])

    assert 2**60 < numbers[0] < numbers[1] < numbers[2] < 2**63
