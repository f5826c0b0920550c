"""tests/mirror/README.md lists the tests of each trap and each complaint, and they exist."""

import re

import pytest

from tests.nursery import ROOT

pytestmark = pytest.mark.anywhere

TESTS = ROOT / "tests"
README = TESTS / "mirror/README.md"
ROW = re.compile(r"^\| (?P<name>[\w -]+) \|.*\| (?P<tests>`test_.*`) \|$", re.MULTILINE)


def text() -> str:
    return README.read_text()


def defined_tests() -> set[str]:
    files = [*(TESTS / "mirror").rglob("test_*.py"), *(TESTS / "system").glob("test_*.py")]
    return {
        name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(), re.M)
    }


def test_each_trap_and_complaint_has_tests():
    traps, complaints = text().split("## Complaints")
    assert [row["name"] for row in ROW.finditer(traps)][:5] == ["1", "2", "3", "4", "5"]
    numbers = [row["name"] for row in ROW.finditer(complaints)]
    assert numbers == ["1", "2", "3", "4", "5", "6", "9", "12", "13", "15"]


def test_the_listed_tests_exist():
    listed = {*re.findall(r"`(test_(?!traps)\w+)`", text())}
    assert listed - defined_tests() == set()


def test_every_test_named_after_one_is_listed():
    named = {name for name in defined_tests() if re.match(r"test_(trap|complaint)_", name)}
    assert {name for name in named if f"`{name}`" not in text()} == set()
