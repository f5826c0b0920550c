"""The versions that users install are those that the tests run with."""

import re

import pytest

from tests.nursery import ROOT


def pins(lock: str) -> set[str]:
    return set(re.findall(r"^[\w.\[\]-]+==[\w.]+", (ROOT / lock).read_text(), re.MULTILINE))


@pytest.mark.parametrize(
    "lock", ["requirements.txt", "requirements-flower.txt", "requirements-otel.txt"]
)
def test_each_version_is_one_that_tests_run_with(lock):
    assert pins(lock) - pins("requirements-dev.txt") == set()
