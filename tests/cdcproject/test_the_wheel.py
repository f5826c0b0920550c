"""`pip wheel .` builds a wheel with all the product's packages and their data files."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.nursery import ROOT

pytestmark = pytest.mark.any_database

PACKAGES = (
    "cdcproject",
    "listeners",
    "audit",
    "handlers",
    "consumer",
    "mirror",
    "api",
    "console",
    "simulator",
    "pytest_cdc",
)


def tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy, because setuptools writes into the source folder."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked():
        if name.partition("/")[0] in (*PACKAGES, "README.md", "LICENSE", "pyproject.toml", "tests"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*build, "--wheel-dir", str(target), "."],
        cwd=source,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [found] = target.iterdir()
    return found


def test_it_holds_every_file_of_our_packages_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert names == {name for name in tracked() if name.partition("/")[0] in PACKAGES}


def test_its_metadata_names_what_it_requires(wheel):
    with zipfile.ZipFile(wheel) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        text = archive.read(metadata).decode()

    assert "Name: salesforce-cdc\n" in text
    assert "License-Expression: MIT\n" in text
    assert "Requires-Dist: Django<6.2,>=5.2\n" in text


def test_what_is_installed_from_it_starts(wheel, tmp_path):
    """The wheel is unpacked, as pip does it, outside of this folder."""
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    check = (
        "from django.core.management import execute_from_command_line as run; run(['', 'check'])"
    )

    done = subprocess.run(
        [sys.executable, "-c", check],
        cwd=tmp_path,
        env={
            "PYTHONPATH": str(site),
            "DJANGO_SETTINGS_MODULE": "cdcproject.settings",
            "DEBUG": "true",
            "VAR_DIR": str(tmp_path / "var"),
            "PATH": str(Path(sys.executable).parent),
        },
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout
