"""A listener process stops and exits as documented."""

import signal

import requests

from audit.models import AuditLogEntry, Incident
from listeners.models import Listener, Position
from tests.sample_data import connection_to, make_listener
from tests.servers import free_port, wait_for


def test_sigterm_records_what_was_received_and_exits_0(processes, simulator, org_listener):
    listener = processes.listener(CDC_BATCH_MAX="10")
    listener.wait_for_output("subscribed")
    simulator.burst(100, quiet=True)
    wait_for(AuditLogEntry.objects.exists)
    listener.signal(signal.SIGTERM)  # a second one does no harm

    assert listener.terminate() == 0, listener.output

    position = Position.objects.get()
    assert (position.state, position.holder) == ("stopped", "")
    assert position.replay_id == AuditLogEntry.objects.order_by("id").last().replay_id


def test_an_unknown_listener_is_bad_usage(processes, org_listener):
    listener = processes.listener("nobody")

    assert listener.wait() == 2
    assert "There is no listener 'nobody'" in listener.output
    assert org_listener.name in listener.output


def test_a_disabled_listener_is_bad_usage(processes, org_listener):
    Listener.objects.update(enabled=False)

    listener = processes.listener(org_listener.name)

    assert listener.wait() == 2
    assert "is disabled" in listener.output


def test_a_bad_option_is_bad_usage(processes):
    listener = processes.listener("--until-idle", "soon")

    assert listener.wait() == 2
    assert "'soon' is not a number of seconds" in listener.output


def test_a_refused_login_is_tried_a_few_times_and_then_ends_with_3(
    processes, simulator, transactional_db
):
    credentials = simulator.credentials | {"password": "wrong-password-1234"}
    make_listener(connection=connection_to(simulator.url, credentials, auth="password"))

    listener = processes.listener()

    assert listener.wait() == 3, listener.output
    position = Position.objects.get()
    assert position.state == "failed"
    assert "authentication failure" in position.reason
    assert "authentication failure" in Incident.objects.get(kind="configuration").summary
    assert "wrong-password-1234" not in listener.output
    assert len(simulator.state(events=0, records=0)["token_requests"]) == 3


def test_ready_means_receiving(processes, simulator, org_listener):
    port = free_port()
    listener = processes.listener("--metrics-port", str(port))
    listener.wait_for_output("subscribed")
    url = f"http://127.0.0.1:{port}"

    ready = wait_for(lambda: requests.get(f"{url}/healthz/ready", timeout=60))
    assert (ready.status_code, ready.json()["listeners"]) == (200, {org_listener.name: "receiving"})
    assert requests.get(f"{url}/healthz/live", timeout=60).ok
    simulator.kill()

    wait_for(lambda: requests.get(f"{url}/healthz/ready", timeout=60).status_code == 503)
    assert requests.get(f"{url}/healthz/live", timeout=60).ok
    metrics = requests.get(f"{url}/metrics", timeout=60).text
    assert f'cdc_listener_receiving{{listener="{org_listener.name}"}} 0.0' in metrics
