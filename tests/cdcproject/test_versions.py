"""The version is defined in one place, and packages and changelog agree with it."""

import re
import tomllib

from cdcproject.version import __version__
from tests.nursery import ROOT


def test_installers_and_the_changelog_say_the_same_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [newest, *_] = re.findall(r"^## (\S+) — ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert project["version"] == newest == __version__


def test_each_release_says_when_it_came():
    heads = re.findall(r"^## .*$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    form = re.compile(r"## \d+\.\d+\.\d+ — (\d{4}-\d\d-\d\d|unreleased)")
    assert [head for head in heads if not form.fullmatch(head)] == []
    assert sum(head.endswith("unreleased") for head in heads) <= 1
