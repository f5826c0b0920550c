"""Each test begins with nothing called."""

import pytest

from tests.pytest_cdc.handlers import CALLS


@pytest.fixture(autouse=True)
def calls():
    CALLS.clear()
    return CALLS
