"""A condition selects the changes that meet it."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.rules.conditions import flaws, matches


def change(data, change_type="UPDATE", fields=None):
    return SimpleNamespace(change_type=change_type, changed_fields=fields, changed_data=data)


def test_no_condition_is_met_by_all():
    assert matches({}, change({}))


@pytest.mark.parametrize(
    ("value", "wanted", "equal"),
    [
        ("Closed Won", "Closed Won", True),
        ("closed won", "Closed Won", False),
        (1, 1.0, True),
        (0.0, 0, True),
        (1, True, False),
        (True, 1, False),
        (0, False, False),
        (True, True, True),
        ("1", 1, False),
        (1, "1", False),
        (None, None, True),
        ("", None, False),
        (0, None, False),
        ({"City": "Bonn"}, "Bonn", False),
        (["a"], "a", False),
    ],
)
def test_values_are_compared_with_their_json_types(value, wanted, equal):
    seen = change({"Field": value})

    assert matches({"field": "Field", "equals": wanted}, seen) is equal
    assert matches({"field": "Field", "in": ["another", wanted]}, seen) is equal
    assert matches({"field": "Field", "changed_to": wanted}, seen) is equal


@pytest.mark.parametrize(
    "test", [{"equals": None}, {"equals": "x"}, {"in": [None, "x"]}, {"changed_to": None}]
)
def test_a_field_that_was_not_sent_equals_nothing(test):
    assert not matches({"field": "Phone", **test}, change({"Name": "Acme"}))


@pytest.mark.parametrize(
    ("data", "exists"),
    [({"Phone": "1"}, True), ({"Phone": ""}, True), ({"Phone": 0}, True), ({"Phone": None}, False)],
)
def test_a_field_exists_when_it_is_there_and_not_null(data, exists):
    assert matches({"field": "Phone", "exists": True}, change(data)) is exists
    assert matches({"field": "Phone", "exists": False}, change(data)) is not exists


def test_a_field_that_was_not_sent_does_not_exist():
    assert not matches({"field": "Phone", "exists": True}, change({}))
    assert matches({"field": "Phone", "exists": False}, change({}))


@pytest.mark.parametrize(
    ("data", "met"),
    [
        ({"BillingAddress": {"City": "Bonn"}}, True),
        ({"BillingAddress": {"Street": "x"}}, False),
        ({"BillingAddress": "Bonn"}, False),
        ({"BillingAddress": None}, False),
        ({"City": "Bonn"}, False),
        ({"BillingAddress.City": "Bonn"}, False),
    ],
)
def test_a_path_leads_into_a_compound_field(data, met):
    assert matches({"field": "BillingAddress.City", "equals": "Bonn"}, change(data)) is met


def test_a_cleared_compound_field_clears_its_parts():
    cleared = change({"BillingAddress": None}, fields=["BillingAddress"])

    assert matches({"field": "BillingAddress.City", "changed_to": None}, cleared)
    assert matches({"field": "BillingAddress.City", "exists": False}, cleared)


@pytest.mark.parametrize(
    ("fields", "met"),
    [
        (["StageName"], True),
        (["Name", "StageName"], True),
        (None, True),
        (["Name"], False),
        ([], False),
    ],
)
def test_an_update_changed_a_field_to_a_value_when_it_names_it(fields, met):
    condition = {"field": "StageName", "changed_to": "Closed Won"}

    assert matches(condition, change({"StageName": "Closed Won"}, fields=fields)) is met
    assert not matches(condition, change({"StageName": "Open"}, fields=fields))
    assert matches(
        {"field": "StageName", "equals": "Closed Won"},
        change({"StageName": "Closed Won"}, fields=fields),
    )


@pytest.mark.parametrize("named", ["Name", "Name.FirstName"])
def test_a_part_changed_when_it_or_its_compound_is_named(named):
    seen = change({"Name": {"FirstName": "Ada"}}, fields=[named])

    assert matches({"field": "Name.FirstName", "changed_to": "Ada"}, seen)


def test_a_part_did_not_change_when_its_sibling_is_named():
    seen = change({"Name": {"FirstName": "Ada", "LastName": "L"}}, fields=["Name.LastName"])

    assert not matches({"field": "Name.FirstName", "changed_to": "Ada"}, seen)


@pytest.mark.parametrize("change_type", ["CREATE", "UNDELETE"])
@pytest.mark.parametrize("fields", [None, []])
def test_a_create_and_a_restore_set_every_field_they_carry(change_type, fields):
    seen = change({"StageName": "Closed Won"}, change_type, fields)

    assert matches({"field": "StageName", "changed_to": "Closed Won"}, seen)
    assert not matches({"field": "StageName", "changed_to": "Open"}, seen)


def test_changed_to_null_is_a_field_that_was_cleared():
    condition = {"field": "Phone", "changed_to": None}

    assert matches(condition, change({"Phone": None}, fields=["Phone"]))
    assert not matches(condition, change({"Phone": "1"}, fields=["Phone"]))
    assert not matches(condition, change({}, fields=["Phone"]))


@pytest.mark.parametrize("test", [{"equals": 1}, {"in": [1]}, {"exists": True}, {"changed_to": 1}])
def test_a_delete_has_no_fields(test):
    assert not matches({"field": "Phone", **test}, change({}, "DELETE"))


def test_a_text_that_was_sent_as_a_diff_has_no_value_to_compare():
    seen = change({"Description": {"diff": "--- \n+++ 68\n"}}, fields=["Description"])

    assert matches({"field": "Description", "exists": True}, seen)
    assert not matches({"field": "Description", "changed_to": "new"}, seen)


def test_conditions_are_combined():
    condition = {
        "all": [
            {"field": "Type", "in": ["A", "B"]},
            {"any": [{"field": "Phone", "exists": True}, {"field": "Amount", "equals": 5}]},
        ]
    }

    assert matches(condition, change({"Type": "B", "Amount": 5}))
    assert matches(condition, change({"Type": "A", "Phone": "1", "Amount": 6}))
    assert not matches(condition, change({"Type": "A", "Amount": 6}))
    assert not matches(condition, change({"Phone": "1", "Amount": 5}))


@pytest.mark.parametrize("condition", [{"field": 1}, {"all": 1}, {"in": []}, {"not": {}}, "x", 5])
def test_what_is_no_condition_and_not_empty_is_met_by_nothing(condition):
    assert not matches(condition, change({"A": 1}))


_names = st.sampled_from(["A", "B", "A.B", "A.B.C", "B.A"])
_plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
)
_json = st.recursive(
    _plain,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ABC"), inner, max_size=3)
    ),
    max_leaves=10,
)
_leaves = st.one_of(
    st.fixed_dictionaries({"field": _names, "equals": _plain}),
    st.fixed_dictionaries({"field": _names, "in": st.lists(_plain, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"field": _names, "exists": st.booleans()}),
    st.fixed_dictionaries({"field": _names, "changed_to": _plain}),
)
_conditions = st.recursive(
    _leaves,
    lambda inner: (
        st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)})
    ),
    max_leaves=8,
).filter(lambda condition: _depth(condition) <= 10)
_changes = st.builds(
    change,
    st.dictionaries(st.sampled_from("ABC"), _json, max_size=3),
    st.sampled_from(["CREATE", "UPDATE", "DELETE", "UNDELETE"]),
    st.none() | st.lists(_names),
)


def _depth(condition) -> int:
    parts = condition.get("all") or condition.get("any") or []
    return 1 + max(map(_depth, parts)) if parts else 0


@given(condition=_conditions, seen=_changes)
def test_a_valid_condition_says_yes_or_no_to_any_change(condition, seen):
    assert flaws(condition) == []
    assert matches(condition, seen) in (True, False)


@given(condition=_json, seen=_changes)
def test_nothing_that_is_stored_as_a_condition_makes_it_fail(condition, seen):
    assert matches(condition, seen) in (True, False)
    assert all(flaw.startswith("condition") for flaw in flaws(condition))


@given(parts=st.lists(_conditions, min_size=1, max_size=3), seen=_changes)
def test_all_and_any_are_those_of_their_parts(parts, seen):
    each = [matches(part, seen) for part in parts]

    assert matches({"all": parts}, seen) is all(each)
    assert matches({"any": parts}, seen) is any(each)
