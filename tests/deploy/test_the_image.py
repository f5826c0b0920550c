"""The Dockerfile is sound: it is not built here, so that its files, commands and rules are checked
one by one."""

import fnmatch
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.deploy.compose import (
    DOCKERFILE,
    exec_forms,
    instructions,
    runtime_stage,
    services,
    stages,
)
from tests.nursery import ROOT

pytestmark = pytest.mark.anywhere

BIN = Path(sys.executable).parent
IGNORE = [
    line
    for line in (ROOT / ".dockerignore").read_text().splitlines()
    if line and not line.startswith("#")
]


def is_in_context(path: str) -> bool:
    """Return whether Docker sends the path: the last line that matches it or a folder of it
    decides."""
    parts = path.split("/")
    above = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
    sent = True
    for line in IGNORE:
        pattern = line.removeprefix("!").removeprefix("**/")
        names = parts if line.startswith("**/") else above
        if any(fnmatch.fnmatch(name, pattern) for name in names):
            sent = line.startswith("!")
    return sent


def test_hadolint_finds_nothing():
    done = subprocess.run(
        [BIN / "hadolint", DOCKERFILE], check=False, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout


def test_what_is_copied_is_in_the_context():
    for copied in instructions("COPY"):
        *sources, _ = copied.split()
        if not sources[0].startswith("--from="):
            assert all(
                (ROOT / one).exists() and (one == "." or is_in_context(one)) for one in sources
            )


def test_the_context_has_the_product():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["importlinter"]["root_packages"]
    # The demo and the tests of handlers run from a checkout.
    outside = {"demo", "pytest_cdc"}
    needed = [f"{package}/__init__.py" for package in packages if package not in outside]
    needed += ["manage.py", "gunicorn.conf.py", "bin/probe", "deploy/flower/flowerconfig.py"]

    assert [path for path in needed if not is_in_context(path)] == []
    assert [path for path in needed if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    "path",
    [
        ".git/config", ".venv/bin/python", ".venv-3.11/bin/python", "var/db.sqlite3",
        "deploy/secrets/secret_key", "deploy/cdc.env", ".env", "tests/conftest.py", "bin/install",
        "handlers/__pycache__/events.cpython-313.pyc", "node_modules/left-pad/index.js",
    ],
)  # fmt: skip
def test_the_context_has_nothing_else(path):
    assert not is_in_context(path)


def test_bases_are_pinned_and_the_last_stage_is_the_product():
    froms = instructions("FROM")
    images = instructions("ARG")

    assert [
        image for image in images if not re.search(r":[\d.]+-\S+@sha256:[0-9a-f]{64}$", image)
    ] == []
    assert {text.split(" AS ")[0] for text in froms} <= {"${PYTHON_IMAGE}", *stages()}
    assert froms[-1] == "runtime"
    assert {one.text["build"]["target"] for one in services().values() if one.is_ours} <= stages()


def test_what_runs_is_not_root_and_has_no_installer():
    runtime = runtime_stage()

    assert "\nUSER 10001:10001\n" in runtime
    assert "pip uninstall" in runtime
    assert not re.search(r"apt-get|gcc|build-essential", runtime)
    assert "--chown" not in runtime  # what runs cannot change itself


def test_each_command_is_there():
    commands = exec_forms()
    for service in services().values():
        if service.is_ours:
            commands += [service.command] + (
                [service.health_check] if "test" in service.text.get("healthcheck", {}) else []
            )
    assert len(commands) > 10
    for command in commands:
        program = command[0]
        found = ROOT / program if "/" in program else BIN / program
        assert found.exists() or shutil.which(program), command


def test_a_clone_that_only_its_owner_reads_makes_an_image_that_runs(tmp_path):
    (tmp_path / "bin").mkdir(mode=0o700)
    (tmp_path / "manage.py").touch(mode=0o600)
    (tmp_path / "bin" / "probe").touch(mode=0o700)
    [build] = [run for run in instructions("RUN") if "collectstatic" in run]

    subprocess.run(["sh", "-c", build.partition("&& ")[0]], cwd=tmp_path, check=True)

    modes = {
        name: (tmp_path / name).stat().st_mode & 0o777 for name in ("bin", "bin/probe", "manage.py")
    }
    assert modes == {"bin": 0o755, "bin/probe": 0o755, "manage.py": 0o644}


def test_everything_that_is_installed_is_a_wheel():
    installing = [run for run in instructions("RUN") if "pip --python" in run]

    assert len(installing) == 3
    assert all("--only-binary :all:" in run and "--no-cache-dir" in run for run in installing)
