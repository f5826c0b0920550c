"""`make demo` runs every process, reports the outcome, and leaves no process behind."""

import os
import re
import signal
import subprocess
import sys

import psutil
import pytest

from handlers.listener_rest_client import rest_of_connection
from mirror.schema import field_code
from mirror.schema.choose import choose, described_object
from mirror.schema.model_code import module_code
from tests.cdcproject.own_project import OwnProject
from tests.nursery import ROOT
from tests.sample_data import connection_to
from tests.servers import PATIENCE_SECONDS, wait_for


@pytest.fixture
def demo(tmp_path):
    """Starts a demo in a folder of its own, and stops what is left of it after the test."""
    started = []

    def start(seconds):
        environment = {**os.environ, "VAR_DIR": str(tmp_path), "DEMO_SECONDS": seconds}
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "demo"],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate()


def children_of(process):
    return psutil.Process(process.pid).children(recursive=True)


@pytest.mark.timeout(900)
def test_it_ends_by_itself_and_says_that_every_change_was_handled(demo, tmp_path):
    process = demo("3")

    output, _ = process.communicate(timeout=850)

    assert "/admin/   user demo, password" in output
    assert "Every change was recorded and handled." in output
    assert "Every mirror is equal to Salesforce." in output
    lines = re.findall(
        r"crm\.(\w+): ([\d,]+) rows here, ([\d,]+) records in Salesforce, (.*)", output
    )
    assert [name for name, *_ in lines] == ["Account", "Contact"]
    for _, here, there, verified in lines:
        assert here == there
        assert int(there.replace(",", "")) > 100
        assert verified.startswith(f"verified: {here} rows")
        assert "in sync as of" in verified
    assert process.returncode == 0
    assert not (tmp_path / "demo" / "broker" / "broker.sock").exists()


def test_ctrl_c_ends_all_of_it(demo):
    process = demo("")
    for line in process.stdout:
        if "Logs" in line:
            break
    children = children_of(process)
    assert len(children) >= 5

    process.send_signal(signal.SIGINT)

    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, output
    assert "All processes are stopped." in output
    wait_for(lambda: not [child for child in children if child.is_running()])


def test_wrong_seconds_are_refused(demo):
    process = demo("soon")

    output, _ = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 2
    assert "DEMO_SECONDS is 'soon'" in output


FIELDS = {
    "Account": (
        *("Name", "Type", "Industry", "Phone", "Website", "BillingCity", "BillingCountry"),
        *("AnnualRevenue", "NumberOfEmployees", "OwnerId", "CreatedDate"),
    ),
    "Contact": (
        *("Name", "FirstName", "LastName", "AccountId", "Title", "Email", "Phone"),
        *("MailingCity", "OwnerId"),
    ),
}


def test_its_models_are_as_inspect_salesforce_writes_them(transactional_db, simulator, monkeypatch):
    # The demo runs on Django 5.2 too, where a decimal column needs its digits.
    monkeypatch.setattr(field_code, "_DIGITS", ["max_digits=38", "decimal_places=18"])
    connection = connection_to(simulator.url, simulator.credentials)
    rest = rest_of_connection(connection)

    text = module_code(
        [choose(described_object(rest, name), only=fields) for name, fields in FIELDS.items()]
    )

    assert (ROOT / "demo/crm/models.py").read_text() == text


def test_its_models_have_their_migration(tmp_path):
    project = OwnProject(tmp_path, {"DJANGO_SETTINGS_MODULE": "cdcproject.settings"})
    project.environment["CDC_APPS"] = "demo.crm"

    assert "No changes" in project.manage("makemigrations", "--check", "--dry-run", "crm")
