import json

import pytest

from tests.commands.running import CONNECTION, record
from tests.sample_data import change, make_listener

HEAD = """
import subprocess, sys
command = [sys.executable, "manage.py", "export_audit_log"]
process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
process.stdout.readline()
process.stdout.close()
with process.stderr as errors:
    print("exit", process.wait(), "said", errors.read())
"""


@pytest.fixture
def run(processes):
    def start(*arguments: str) -> tuple[int, str]:
        process = processes.born("manage.py", *arguments)
        return process.wait(), process.output

    return start


def test_apply_ends_with_0_or_1_or_2(run, tmp_path):
    file = tmp_path / "cdc.yaml"
    file.write_text(CONNECTION)
    assert run("apply_cdc_config", str(file)) == (0, "+ connection prod\n")

    file.write_text("connections: {}\n")
    code, output = run("apply_cdc_config", str(file))
    assert code == 1
    assert f"{file}:1: connections: give a list" in output

    assert run("apply_cdc_config")[0] == 2


def test_check_ends_with_1_or_2(run):
    make_listener(name="nowhere")

    assert run("check_cdc_connection", "nowhere")[0] == 1
    assert run("check_cdc_connection", "unknown")[0] == 2


def test_status_ends_with_0(run):
    code, output = run("cdc_status", "--format", "json")

    assert (code, json.loads(output)) == (0, [])


def test_export_writes_utf_8_on_any_terminal(run, processes):
    listener = make_listener()
    record(listener, change(data={"Name": "雪"}))

    export = processes.start("manage.py", "export_audit_log", PYTHONIOENCODING="latin-1")

    assert export.wait() == 0
    assert json.loads(export.output)["changed_data"] == {"Name": "雪"}
    assert run("export_audit_log", "--listener", "unknown")[0] == 2


def test_export_ends_quietly_when_its_reader_has_enough(processes):
    listener = make_listener()
    messages = [change(records=[f"001-{n}"], data={"Text": "x" * 2000}) for n in range(300)]
    record(listener, *messages)

    head = processes.start("-c", HEAD)

    assert (head.wait(), head.output) == (0, "exit 141 said b''\n")
