"""Clears the list of handler calls before each test."""

import pytest

from tests.pytest_cdc.handlers import CALLS


@pytest.fixture(autouse=True)
def calls():
    CALLS.clear()
    return CALLS
