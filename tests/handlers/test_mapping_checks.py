"""`manage.py check` reports unregistered handlers and invalid mappings."""

import pytest

from handlers.checks import check_mappings
from tests.sample_data import make_mapping

pytestmark = pytest.mark.django_db


def test_valid_mappings_with_registered_handlers_say_nothing(listener):
    make_mapping(listener, "update", condition={"field": "Phone", "exists": True})
    make_mapping(listener, "delete", handler="")

    assert check_mappings() == []


def test_a_handler_that_is_not_registered_is_an_error(listener):
    make_mapping(listener, handler="gone.handler")

    [error] = check_mappings()

    assert error.id == "handlers.E001"
    assert f"{listener}, onCreate *: No handler is registered" in error.msg


def test_a_mapping_that_was_stored_past_its_validation_is_a_warning(listener):
    make_mapping(listener, "update", condition={"equals": 1}, ignore_users=["me"])

    found = check_mappings()

    assert {warning.id for warning in found} == {"handlers.W001"}
    assert [warning.msg.partition("*: ")[2] for warning in found] == [
        'condition: condition: "equals" needs "field".',
        'ignore_users: "me" is no Salesforce id: it has 15 or 18 letters and digits.',
    ]
