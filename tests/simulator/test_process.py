"""The simulator process starts, announces itself, and ends as documented."""

import json
import subprocess
import sys
from contextlib import suppress

import psutil
import pytest

from tests.nursery import ROOT
from tests.servers import PATIENCE_SECONDS, free_port, wait_for
from tests.simulator.process import SimulatorProcess
from tests.simulator.wire_client import WireClient

pytestmark = pytest.mark.anywhere


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "simulator", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_sigterm_ends_it_promptly_although_a_connect_is_held() -> None:
    with SimulatorProcess() as org, WireClient(org) as client:
        client.start()
        message = {"channel": "/meta/connect", "connectionType": "long-polling"}
        holding = subprocess.Popen(
            [
                sys.executable,
                "-c",
                HOLD,
                client.url,
                client.token,
                json.dumps([{**message, "clientId": client.client_id}]),
                "; ".join(f"{name}={value}" for name, value in client.http.cookies.items()),
            ],
        )
        org.wait_until_held()

        code = org.stop()

        assert code == 0, "it had to be killed"
        holding.wait(PATIENCE_SECONDS)


HOLD = """
import contextlib, sys, urllib.request
url, token, body, cookies = sys.argv[1:]
request = urllib.request.Request(
    url + "/cometd/60.0", body.encode(), {"Authorization": "Bearer " + token, "Cookie": cookies}
)
with contextlib.suppress(OSError):
    urllib.request.urlopen(request).read()
"""


def test_it_can_be_started_again_on_its_port() -> None:
    with SimulatorProcess(port=free_port()) as org:
        port = org.port
        org.create("Account", Name="Acme")
        org.kill()
        org.start()

        assert org.port == port
        assert org.state()["event_count"] == 0


def test_it_does_not_outlive_its_parent() -> None:
    code = (
        "import os; from tests.simulator.process import SimulatorProcess;"
        "org = SimulatorProcess(); org.start(); print(org.pid, flush=True); os._exit(1)"
    )
    parent = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )

    pid = int(parent.stdout)
    with suppress(psutil.NoSuchProcess):
        orphan = psutil.Process(pid)
        wait_for(lambda: orphan.status() == psutil.STATUS_ZOMBIE, what="the end of the orphan")


def test_it_announces_itself_to_a_reader() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "simulator", "--exit-with-stdin"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 0
    assert "Salesforce simulator at http://localhost:" in output
    assert "client_secret" in output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--connect-timeout", "0"), "--connect-timeout must be greater than 0"),
        (("--rate", "-1"), "must not be negative"),
        (("--channel", "Sales__chn"), "NAME__chn=ENTITY,ENTITY"),
        (("--channel", "Sales=Account"), "ends with __chn"),
        (("--channel", "Sales__chn=Lead"), "unknown entity 'Lead'"),
        (("--records", "Account"), "--records must be OBJECT=COUNT"),
        (("--records", "Lead=5"), "unknown entity 'Lead'"),
        (("--records", "Account=0"), "the number of records must be from 1 to"),
        (("--port", "x"), "invalid int value"),
    ],
)
def test_wrong_options_are_named(options: tuple[str, ...], message: str) -> None:
    result = run(*options)

    assert result.returncode == 2
    assert message in result.stderr


def test_a_taken_port_is_named(shared_org: SimulatorProcess) -> None:
    result = run("--port", str(shared_org.port))

    assert result.returncode == 1
    assert "cannot listen" in result.stderr


def test_credentials_and_channels_can_be_chosen() -> None:
    options = ("--client-id", "me", "--client-secret", "s", "--channel", "Sales__chn=Account")
    with SimulatorProcess(*options) as org, WireClient(org) as client:
        assert org.credentials["client_id"] == "me"
        client.start("/data/Sales__chn")


def test_the_django_command_has_the_same_options() -> None:
    command = pytest.importorskip("simulator.management.commands.run_salesforce_simulator")
    parser = command.Command().create_parser("manage.py", "run_salesforce_simulator")

    parsed = vars(parser.parse_args(["--port", "8075", "--rate", "2.5", "--count", "10"]))

    assert (parsed["port"], parsed["rate"], parsed["count"]) == (8075, 2.5, 10)
    assert parsed["host"] == "127.0.0.1"
