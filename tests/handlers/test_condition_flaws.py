"""An invalid condition is refused with the place and the reason of each flaw."""

import pytest

from handlers.rules.conditions import EXAMPLE, MAX_DEPTH, flaws


def test_no_condition_is_valid():
    assert flaws({}) == []


@pytest.mark.parametrize(
    "condition",
    [
        {"field": "StageName", "equals": "Closed Won"},
        {"field": "Amount", "equals": 1.5},
        {"field": "Phone", "equals": None},
        {"field": "ns__Type__c", "in": ["A", 1, True, None]},
        {"field": "BillingAddress.City", "exists": False},
        {"field": "StageName", "changed_to": None},
        {"all": [{"any": [{"field": "A", "exists": True}]}, {"field": "B", "equals": 1}]},
    ],
)
def test_what_the_documentation_shows_is_valid(condition):
    assert flaws(condition) == []


@pytest.mark.parametrize(
    ("condition", "flaw"),
    [
        ([], f"condition: give an object such as {EXAMPLE}."),
        ("x", f"condition: give an object such as {EXAMPLE}."),
        (None, f"condition: give an object such as {EXAMPLE}."),
        ({"all": [{}]}, f"condition.all[0]: give an object such as {EXAMPLE}."),
        ({"all": []}, "condition.all: give a list of conditions, at least one."),
        ({"any": {}}, "condition.any: give a list of conditions, at least one."),
        (
            {"all": [{"field": "A", "equals": 1}, {"equals": 1}]},
            'condition.all[1]: "equals" needs "field".',
        ),
        (
            {"any": [{"field": "A"}]},
            'condition.any[0]: "field" needs "equals", "in", "exists" or "changed_to".',
        ),
        (
            {"field": "A", "equals": 1, "exists": True},
            'condition: give one of "equals" and "exists"; combine two conditions with "all".',
        ),
        (
            {"all": [{"field": "A", "equals": 1}], "field": "B", "equals": 2},
            'condition: "all" stands alone; put "field" and "equals" into it.',
        ),
        ({"feild": "A", "equals": 1}, 'condition: "feild" is not known; did you mean "field"?'),
        (
            {"field": "A", "like": "x"},
            'condition: "like" is not known; '
            'use "all", "any", "field", "equals", "in", "exists" or "changed_to".',
        ),
        ({"field": "A", "exists": 1}, "condition.exists: give true or false."),
        ({"field": "A", "in": "x"}, "condition.in: give a list of values, at least one."),
        ({"field": "A", "in": []}, "condition.in: give a list of values, at least one."),
        (
            {"field": "A", "in": ["x", {"y": 1}]},
            "condition.in[1]: give one value; "
            "for a part of a compound field, name it in the field.",
        ),
        (
            {"field": "A", "equals": ["x"]},
            "condition.equals: give one value; "
            "for a part of a compound field, name it in the field.",
        ),
        ({"field": "A", "equals": float("nan")}, "condition.equals: give a finite number."),
        (
            {"field": "A", "changed_to": "a\0b"},
            "condition.changed_to: a NUL or half a surrogate pair is not valid text; remove it.",
        ),
    ],
)
def test_a_flaw_is_reported_with_its_place(condition, flaw):
    assert flaws(condition) == [flaw]


@pytest.mark.parametrize("field", ["", " ", "A..B", ".A", "A.", "Billing City", 5, None, ["A"]])
def test_a_field_is_named_as_salesforce_names_it(field):
    assert flaws({"any": [{"field": field, "exists": True}]}) == [
        "condition.any[0].field: give the name of a field, "
        'such as "Phone" or "BillingAddress.City".'
    ]


def test_all_flaws_are_reported_at_once():
    condition = {"all": [{"equals": 1}, {"field": "A", "in": []}, {"any": [3]}]}

    assert [flaw.partition(": ")[0] for flaw in flaws(condition)] == [
        "condition.all[0]",
        "condition.all[1].in",
        "condition.all[2].any[0]",
    ]


def nested(levels):
    condition = {"field": "A", "exists": True}
    for _ in range(levels):
        condition = {"all": [condition]}
    return condition


def test_it_may_be_nested_so_deep_and_no_deeper():
    assert flaws(nested(MAX_DEPTH)) == []
    [flaw] = flaws(nested(MAX_DEPTH + 1))
    assert flaw.endswith(f"nested deeper than {MAX_DEPTH} levels.")
    assert len(flaws(nested(500))) == 1
