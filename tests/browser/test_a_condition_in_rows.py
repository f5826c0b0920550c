"""A handler mapping's condition is edited as rows of field, operator and value, or as JSON."""

from typing import Any

import pytest
from playwright.sync_api import expect

from handlers.models import HandlerMapping
from tests.sample_data import make_mapping

pytestmark = pytest.mark.anywhere


@pytest.fixture
def mapping(listener):
    return make_mapping(listener, "update", "tests.remember", entity="Opportunity")


@pytest.fixture
def page(visitor, mapping):
    visitor.log_in("CDC Administrator")
    visitor.page.goto(f"/admin/handlers/handlermapping/{mapping.pk}/change/")
    return visitor.page


def fill(page, number: int, field: str, operator: str, kind: str = "", value: str = "") -> None:
    row = page.locator(".condition-row").nth(number)
    row.get_by_label("Field", exact=True).fill(field)
    row.get_by_label("Operator").select_option(operator)
    if kind:
        row.get_by_label("Type of the value").select_option(kind)
    if value:
        row.get_by_label("Value", exact=True).fill(value)


def save(page) -> dict[str, Any]:
    with page.expect_navigation():
        page.get_by_role("button", name="Save and continue editing").click()
    return HandlerMapping.objects.get().condition


def test_rows_are_saved_as_json_and_shown_as_rows_again(visitor, page):
    adding = page.get_by_role("button", name="Add a condition")
    adding.click()
    fill(page, 0, "StageName", "changed to", "Text", "Closed Won")
    assert save(page) == {"field": "StageName", "changed_to": "Closed Won"}

    adding.click()
    fill(page, 1, "Amount", "equals", "Number", "12345678901234567890")
    adding.click()
    fill(page, 2, "Type", "is one of", "Text", "New\nRenewal, early")
    adding.click()
    fill(page, 3, "BillingAddress.City", "has no value")
    page.get_by_label("Deliver if").select_option("any")
    visitor.look("of these match")
    saved = save(page)

    assert saved == {
        "any": [
            {"field": "StageName", "changed_to": "Closed Won"},
            {"field": "Amount", "equals": 12345678901234567890},
            {"field": "Type", "in": ["New", "Renewal, early"]},
            {"field": "BillingAddress.City", "exists": False},
        ]
    }


def test_a_removed_row_is_removed_from_the_condition(mapping, visitor, page):
    leaves = [{"field": "Type", "equals": None}, {"field": "IsWon", "equals": True}]
    HandlerMapping.objects.update(condition={"all": leaves})
    page.reload()
    rows = page.locator(".condition-row")
    expect(rows).to_have_count(2)
    rows.first.get_by_role("button", name="Remove this condition").click()
    expect(rows.get_by_label("Field", exact=True)).to_be_focused()

    assert save(page) == {"field": "IsWon", "equals": True}
    page.get_by_role("button", name="Remove this condition").click()
    visitor.look("Add a condition")
    assert save(page) == {}


@pytest.mark.parametrize(
    "condition",
    [
        {"all": [{"field": "A", "equals": 1}, {"any": [{"field": "B", "exists": True}]}]},
        {"field": "A", "in": [1, "1"]},
        {"field": "A", "equals": 12345678901234567890},
        {"field": "A", "equals": "two\nlines"},
    ],
)
def test_what_rows_cannot_express_is_edited_as_json_and_stays_as_it_is(visitor, page, condition):
    HandlerMapping.objects.update(condition=condition)
    page.reload()
    expect(page.get_by_label("Condition", exact=True)).to_be_visible()

    page.get_by_role("button", name="Edit as rows").click()
    visitor.look("Rows cannot show this condition")

    assert save(page) == condition


def test_a_row_that_is_wrong_is_not_saved(visitor, page):
    page.get_by_role("button", name="Add a condition").click()
    fill(page, 0, "Amount", "equals", "Number", "a lot")
    page.get_by_role("button", name="Save and continue editing").click()
    assert page.locator(".condition-row textarea").evaluate("one => one.validationMessage") == (
        "Enter a number, such as 1000 or 0.5."
    )

    fill(page, 0, "Annual revenue", "equals", "Number", "1000")
    assert save(page) == {}
    visitor.look("condition.field: give the name of a field")
    expect(page.get_by_label("Field", exact=True)).to_have_value("Annual revenue")
