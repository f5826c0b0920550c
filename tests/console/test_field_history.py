"""An entry's page shows each field's value before and after the change."""

import pytest

from console.admin.audit_log.field_rows import LOOK_BACK, earlier, field_rows
from tests.sample_data import make_listener

RECORD = "0015g00000EqG9GAAV"


@pytest.fixture
def record(make_entry):
    def make(data=None, change_type="UPDATE", **fields):
        return make_entry(
            record_id=RECORD, changed_data=data or {}, change_type=change_type, **fields
        )

    return make


def before(entry) -> dict[str, str]:
    """Return each field's previous value, or the reason why there is none."""
    rows = field_rows(entry, earlier(entry))
    return {row.name: row.before or f"({row.before_note})" for row in rows}


def test_before_is_the_last_recorded_value_with_a_link_to_its_entry(record):
    record({"Phone": "1"})
    told = record({"Phone": "2"})
    record({"Fax": "9"})
    row = field_rows(entry := record({"Phone": "3"}), earlier(entry))[0]
    assert (row.before, row.value, row.before_entry) == ("2", "3", told.pk)


def test_a_compound_field_is_known_part_by_part(record):
    record({"Name": {"FirstName": "Jonas", "LastName": "Keller"}})
    record({"Name": {"FirstName": "Jona"}}, changed_fields=["Name"])
    entry = record({"Name": {"FirstName": None, "LastName": "Kellermann"}})
    assert before(entry) == {"Name.FirstName": "Jona", "Name.LastName": "Keller"}


def test_a_compound_field_that_was_cleared_shows_the_parts_that_it_had(record):
    record({"Address": {"City": "Berlin", "Street": "A 1"}})
    record({"Address": {"Street": "B 2"}})
    assert before(record({"Address": None})) == {
        "Address.Street": "B 2",
        "Address.City": "Berlin",
    }
    assert before(record({"Address": None})) == {"Address": "(empty)"}
    assert before(record({"Address": {"City": "Bonn"}})) == {"Address.City": "(empty)"}


def test_what_a_create_does_not_carry_was_empty(record):
    record({"Phone": "1"}, "CREATE")
    assert before(record({"Fax": "9"})) == {"Fax": "(empty)"}


def test_an_unknown_value_is_not_made_up(record, make_entry):
    make_entry(record_id=RECORD, listener=make_listener(name="another"), changed_data={"Fax": "8"})
    record({"Phone": "1"})
    assert before(record({"Fax": "9"})) == {"Fax": "(not recorded)"}


def test_a_change_without_its_value_hides_the_one_before(record):
    record({"Text": "old"})
    record({}, changed_fields=["Text"])
    assert before(record({"Text": "new"})) == {"Text": "(changed before, value not recorded)"}


@pytest.mark.parametrize(
    "diff_fields", [None, ["Text", "Address.Street"]], ids=["cometd", "pubsub"]
)
def test_a_diff_is_one_field_and_no_value(record, diff_fields):
    diff = "--- 6f1\n+++ 9a2\n@@ -1,1 +1,1 @@\n-old\n+new"
    record({"Text": "old", "Address": {"Street": "A 1"}})
    sent = {"Text": {"diff": diff}, "Address": {"Street": {"diff": diff}, "City": "Bonn"}}

    rows = field_rows(entry := record(sent, diff_fields=diff_fields), earlier(entry))

    assert [(row.name, row.value, row.before, row.note) for row in rows] == [
        ("Text", diff, "old", "sent as a unified diff"),
        ("Address.Street", diff, "A 1", "sent as a unified diff"),
        ("Address.City", "Bonn", "", ""),
    ]
    assert before(record({"Text": "new", "Address": {"Street": "B 2"}})) == {
        "Text": "(changed before, value not recorded)",
        "Address.Street": "(changed before, value not recorded)",
    }


def test_a_masked_diff_stays_a_diff(record, listener):
    listener.sensitive_fields = ["Text"]
    listener.save()
    entry = record({"Text": {"diff": "--- 6f1\n+++ 9a2\n"}})

    assert [(row.name, row.value, row.note) for row in field_rows(entry)] == [
        ("Text", "***", "sent as a unified diff")
    ]


def test_a_listed_diff_may_be_a_text(record):
    record({"Text": "@@ -1 +1 @@"}, diff_fields=["Text"])
    assert before(record({"Text": "new"})) == {"Text": "(changed before, value not recorded)"}


def test_a_create_has_no_before(record):
    assert before(record({"Phone": "1"}, "CREATE")) == {"Phone": "(new record)"}


def test_a_value_that_came_again_says_so(record):
    record({"Amount": 1, "Phone": "1"})
    rows = field_rows(entry := record({"Amount": 1, "Phone": "2"}), earlier(entry))
    assert [row.is_same for row in rows] == [True, False]


def test_it_looks_back_so_far_and_no_further(record, django_assert_num_queries):
    first = record({"Phone": "1"})
    type(first).objects.bulk_create([_copy(first, number) for number in range(2, LOOK_BACK + 2)])
    entry = record({"Phone": "2", "Fax": "9"})
    with django_assert_num_queries(1):
        assert before(entry)["Phone"] == "(not recorded)"


def _copy(entry, number):
    fields = {field.attname: getattr(entry, field.attname) for field in entry._meta.fields}
    return type(entry)(**{**fields, "id": None, "sequence_number": number, "changed_data": {}})


def test_masked_values_are_not_compared(record, listener):
    listener.sensitive_fields = ["Phone"]
    listener.save()
    record({"Phone": "1"})
    entry = record({"Phone": "2"})
    row = field_rows(entry, earlier(entry))[0]
    assert (row.before, row.value, row.is_same) == ("***", "***", False)
