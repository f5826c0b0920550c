"""Every service of docker-compose.yml runs, with production's settings and secrets as files.

One stack for all of these tests, in their order: it is started once, loses a listener, and stops.
"""

import json
import os
import signal
import tempfile
from pathlib import Path

import pytest
import requests

from tests.deploy.stack import Stack
from tests.servers import PostgresServer, missing_postgres, wait_for
from tests.simulator.control_client import ControlClient

pytestmark = pytest.mark.anywhere

KEPT = ("web", "listener", "listener-2", "worker", "beat", "flower")


@pytest.fixture(scope="module")
def postgres():
    missing = missing_postgres()
    if missing and os.environ.get("CI") == "true":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    # Where its own user can go in.
    with tempfile.TemporaryDirectory(prefix="cdc-deploy-") as folder:
        server = PostgresServer(Path(folder) / "postgres")
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="module")
def stack(postgres, tmp_path_factory):
    stack = Stack(tmp_path_factory.mktemp("stack"), postgres)
    try:
        _begin(stack)
        yield stack
    finally:
        stack.close()


def _begin(stack: Stack) -> None:
    """Start the services in Compose's order, those that others wait for first."""
    beginning = [stack.start("migrate"), stack.collect_static()]
    stack.start("valkey")
    stack.start("simulator")
    stack.configuration()
    for one in beginning:
        assert one.wait(400) == 0, one.output
    wait_for(lambda: stack.is_healthy("simulator"), what="the simulator's health")
    told = stack.start("simulated-org")
    for name in KEPT:
        stack.start(name)
    assert told.wait() == 0, told.output


@pytest.fixture(scope="module")
def org(stack):
    org = ControlClient(None, None)
    org.url = f"http://127.0.0.1:{stack.ports['8080']}"
    yield org
    org.http.close()


def _is_handled(stack, record_id):
    entry = "SELECT id FROM audit_auditlogentry WHERE record_id = %s"
    states = stack.ask(
        f"SELECT state FROM handlers_delivery WHERE entry_id IN ({entry})", record_id
    )
    return ("succeeded",) in states  # the org's traffic may have changed the record since


def _readiness(stack, name):
    answer = requests.get(f"http://127.0.0.1:{stack.port(name)}/healthz/ready", timeout=30)
    return answer.json()


def _roles(stack):
    """Return the listener service that receives and the one that stands by, or None for now."""
    names = ("listener", "listener-2")
    states = {name: _readiness(stack, name) for name in names}
    for receiving, standing_by in (names, names[::-1]):
        is_receiving = states[receiving]["listeners"] == {"simulated": "receiving"}
        if is_receiving and states[standing_by]["standing_by"]:
            return receiving, standing_by
    return None


def test_each_becomes_healthy_by_its_own_check(stack):
    for name in KEPT:
        wait_for(lambda name=name: stack.is_healthy(name), what=f"{name}'s health")


def test_a_change_is_handled(stack, org):
    [record_id] = org.create("Account", Name="Acme")

    wait_for(lambda: _is_handled(stack, record_id), what="the delivery's success")
    metrics = f"http://127.0.0.1:{stack.port('worker')}/metrics"
    counted = "cdc_deliveries_handled_total{"
    wait_for(lambda: counted in requests.get(metrics, timeout=30).text, what="the worker's metrics")


def test_the_console_has_its_static_files_compressed_and_for_ever(stack):
    url = f"http://127.0.0.1:{stack.ports['8000']}"
    page = requests.get(f"{url}/admin/login/", timeout=30)
    script = next(part for part in page.text.split('"') if part.endswith(".js"))

    answer = requests.get(f"{url}{script}", timeout=30)

    assert (page.status_code, answer.status_code) == (200, 200)
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Encoding"] == "gzip"


def test_requests_are_logged_as_json_and_probes_are_not(stack):
    url = f"http://127.0.0.1:{stack.ports['8000']}"
    requests.get(f"{url}/healthz/live", timeout=30)
    requests.get(f"{url}/favicon.ico?q=hunter2", allow_redirects=False, timeout=30)

    wait_for(
        lambda: "/favicon.ico" in stack.running["web"].output, what="the line, after the answer"
    )

    output = stack.running["web"].output
    told = [json.loads(line) for line in output.splitlines() if '"event": "request"' in line]
    [line] = [line for line in told if line["path"] == "/favicon.ico"]
    assert (line["method"], line["status"], line["address"]) == ("GET", 302, "127.0.0.1")
    assert not [line for line in told if line["path"].startswith("/healthz")]
    assert "hunter2" not in output


def test_a_visitor_moves_no_page_past_the_rules_of_a_proxy(stack):
    url = f"http://127.0.0.1:{stack.ports['8000']}"

    moved = requests.get(f"{url}/x/metrics", headers={"SCRIPT_NAME": "/x"}, timeout=30)

    assert moved.status_code == 404


def test_flower_asks_for_its_password(stack):
    url = f"http://127.0.0.1:{stack.ports['5555']}/workers"
    password = (stack.secrets / "flower_password").read_text()

    assert requests.get(url, timeout=30).status_code == 401
    assert requests.get(url, auth=("flower", password), timeout=30).status_code == 200


def test_a_listener_that_is_killed_is_replaced_by_the_one_that_stands_by(stack, org):
    receiving, standing_by = wait_for(
        lambda: _roles(stack), what="one that receives, and one beside it"
    )

    stack.running[receiving].signal(signal.SIGKILL)
    [record_id] = org.create("Account", Name="After the kill")

    wait_for(lambda: _is_handled(stack, record_id), what="the delivery's success")
    assert _readiness(stack, standing_by)["listeners"] == {"simulated": "receiving"}
    stack.running.pop(receiving).close()


def test_all_services_stop_on_sigterm(stack, org):
    # Nothing runs when the worker ends: its pool may wait 30 seconds for a result that comes then.
    org.traffic(0)
    unfinished = "SELECT 1 FROM handlers_delivery WHERE state NOT IN ('succeeded', 'skipped')"
    wait_for(lambda: not stack.ask(unfinished), what="the end of all runs")
    products = [name for name in KEPT if name in stack.running and name != "beat"]
    servers = ["simulator", "valkey"]

    codes = stack.stop("beat") | stack.stop(*products) | stack.stop(*servers)

    assert codes == dict.fromkeys(["beat", *products, *servers], 0), "\n".join(
        stack.running[name].output for name, code in codes.items() if code
    )
