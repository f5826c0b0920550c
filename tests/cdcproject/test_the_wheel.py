"""The wheel: its contents, and the program that it installs into an empty environment."""

import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from email import message_from_string
from textwrap import dedent

import pytest
from packaging.requirements import Requirement

from tests.nursery import ROOT

pytestmark = [pytest.mark.anywhere, pytest.mark.timeout(900)]

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["importlinter"]["root_packages"]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT]
    subprocess.run([*PIP, *build], check=True)
    [found] = folder.iterdir()
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Install the wheel into an empty environment, and return its `bin` folder.

    Its requirements come from the registry or pip's cache, in the versions of the lock.
    """
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder)
    lock = ROOT / "requirements.txt"
    install = ["--python", folder / "bin/python", "install", "--constraint", lock]
    subprocess.run([*PIP, *install, wheel], check=True)
    return folder / "bin"


@pytest.fixture
def salesforce_cdc(installed, tmp_path):
    """Return a function that runs the program in an empty folder, with only the given variables."""

    def run(*arguments, **environment):
        return subprocess.run(
            [installed / "salesforce-cdc", *arguments],
            cwd=tmp_path,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture
def write(tmp_path):
    def write(name, text=""):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(text))

    return write


def metadata_of(wheel):
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        return message_from_string(archive.read(name).decode())


def test_it_holds_every_file_of_our_packages_and_nothing_else(wheel):
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *PACKAGES]
    files = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert names == {name for name in files.split("\0") if name and (ROOT / name).is_file()}


def test_it_requires_the_ranges_of_the_project(wheel):
    metadata = metadata_of(wheel)
    required = {str(Requirement(one)).lower() for one in PROJECT["project"]["dependencies"]}

    requires = [Requirement(one) for one in metadata.get_all("Requires-Dist")]

    assert (metadata["Name"], metadata["License-Expression"]) == ("salesforce-cdc", "MIT")
    assert {
        str(one).replace("ruamel-", "ruamel.") for one in requires if not one.marker
    } == required


def test_the_console_runs_from_it(salesforce_cdc, write):
    """Templates and static files of each package that has some are found."""
    write(
        "ask.py",
        """
        from django.contrib.staticfiles import finders
        from django.template.loader import get_template

        for name in ("console/home.html", "drf_spectacular/swagger_ui.html", "error_page.html"):
            get_template(name)
        print([bool(finders.find(name)) for name in ("console/reach.css", "api/exact_numbers.js")])
        """,
    )

    shell = salesforce_cdc("shell", "--no-imports", "--command", "import ask", DEBUG="true")

    assert shell.stdout == "[True, True]\n", shell.stderr


CRM = """
    from django.db import models


    class Account(models.Model):
        salesforce_id = models.CharField(max_length=18, primary_key=True)
"""
HANDLER = """
    from handlers import cdc_handler


    @cdc_handler
    def sync(event):
        from crm.models import Account
"""
ASK = """
    from django.conf import settings
    from django.apps import apps
    from handlers.sdk import registry

    print([name for name in ("crm", "billing") if apps.is_installed(name)])
    print([name for name in registry.names() if name.startswith("crm.")])
    print(settings.LANGUAGE_CODE, settings.VAR_DIR)
"""


@pytest.fixture
def apps(write):
    write("crm/__init__.py")
    write("crm/models.py", CRM)
    write("crm/cdc_handlers.py", HANDLER)
    write("billing/__init__.py")
    write("ask.py", ASK)


@pytest.mark.usefixtures("apps")
def test_apps_of_the_current_folder_are_added_by_the_environment(salesforce_cdc, tmp_path):
    environment = {"DEBUG": "true", "CDC_APPS": "crm,billing"}
    made = salesforce_cdc("makemigrations", "crm", **environment)
    migrated = salesforce_cdc("migrate", "crm", **environment)
    asked = salesforce_cdc("shell", "--no-imports", "--command", "import ask", **environment)

    assert "Create model Account" in made.stdout, made.stderr
    assert "Applying crm.0001_initial... OK" in migrated.stdout, migrated.stderr
    assert asked.stdout.splitlines() == [
        "['crm', 'billing']", "['crm.cdc_handlers.sync']", f"en {tmp_path}/var",
    ]  # fmt: skip
    assert (tmp_path / "var/db.sqlite3").is_file()


@pytest.mark.usefixtures("apps")
def test_settings_of_a_site_extend_ours_in_three_lines(salesforce_cdc, write, tmp_path):
    page = (ROOT / "docs/installing.md").read_text()
    [lines] = re.findall(r"```python\n# site_settings.py\n(.*?)```", page, re.DOTALL)
    write("site_settings.py", lines)

    environment = {"DEBUG": "true", "DJANGO_SETTINGS_MODULE": "site_settings"}
    asked = salesforce_cdc("shell", "--no-imports", "--command", "import ask", **environment)

    assert len([line for line in lines.splitlines() if line]) == 3
    assert asked.stdout.splitlines() == [
        "['crm', 'billing']", "['crm.cdc_handlers.sync']", f"de {tmp_path}/var",
    ]  # fmt: skip


@pytest.fixture
def other_distribution(installed):
    """Record a distribution in the same folder that has a package `api` too."""
    [site] = installed.parent.glob("lib/python*/site-packages")
    folder = site / "shop-2.1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 2.1\n")
    (folder / "RECORD").write_text("api/__init__.py,,\nshop/api/__init__.py,,\n")
    yield
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


@pytest.mark.usefixtures("other_distribution")
def test_the_check_finds_packages_of_the_same_names(salesforce_cdc, write, tmp_path):
    write("demo/__init__.py")

    checked = salesforce_cdc("check", DEBUG="true")

    assert checked.returncode == 1
    assert f"(cdcproject.W001) {tmp_path}/demo has the name of the package demo" in checked.stderr
    assert "(cdcproject.E001) shop 2.1 is installed into the same folders" in checked.stderr
    assert "overwritten: api in" in checked.stderr


def test_a_folder_that_hides_a_package_is_refused(salesforce_cdc, write, tmp_path):
    write("demo/__init__.py")
    demo = salesforce_cdc("demo")
    write("audit.py")
    command = salesforce_cdc("check", DEBUG="true")

    for done, hiding in ((demo, tmp_path / "demo"), (command, tmp_path / "audit.py")):
        assert done.returncode == 1
        assert done.stderr.startswith(f"configuration error: {hiding} shadows the package ")


def test_without_settings_the_help_names_the_demo(salesforce_cdc):
    done = salesforce_cdc()

    assert done.stdout.startswith("salesforce-cdc demo: ")
    assert done.stderr.startswith("configuration error: SECRET_KEY is not set")


def test_the_demo_runs_from_it(salesforce_cdc, tmp_path):
    demo = salesforce_cdc("demo", DEMO_SECONDS="1")

    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "Every change was recorded and handled." in demo.stdout
    assert "Every mirror is equal to Salesforce." in demo.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["var"]
