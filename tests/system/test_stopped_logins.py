"""A listener that stopped after refused logins starts again once a login can succeed."""

from pathlib import Path

import pytest

from audit.models import AuditLogEntry, Incident
from listeners.models import Connection, Position
from tests.sample_data import listener_of
from tests.servers import wait_for
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.anywhere


@pytest.fixture
def org():
    with SimulatorProcess("--connect-timeout", "2", "--lock-after", "2") as simulator:
        yield simulator


def state_of(listener) -> str:
    return getattr(Position.objects.filter(listener=listener).first(), "state", "")


def test_a_check_that_succeeds_starts_it(processes, org):
    """The mistake was in Salesforce, so that nothing has to be changed here."""
    keeps_the_process = listener_of(org, channel="/data/ContactChangeEvent")
    listener = listener_of(org, auth="password")
    for _ in range(2):
        wrong_password(org)
    process = processes.listener()
    wait_for(lambda: state_of(listener) == "failed")
    wait_for(lambda: state_of(keeps_the_process) == "receiving")
    asked = len(org.state()["token_requests"])
    org.unlock()

    check = processes.born("manage.py", "check_cdc_connection", listener.connection.name)

    assert check.wait() == 0, check.output
    wait_for(lambda: state_of(listener) == "receiving", what="the start")
    assert process.is_running
    assert len(org.state()["token_requests"]) == asked + 1, "the listener took the check's token"


def wrong_password(org) -> None:
    form = {"grant_type": "password", "username": org.credentials["username"], "password": "x"}
    client = {key: org.credentials[key] for key in ("client_id", "client_secret")}
    org.http.post(f"{org.url}/services/oauth2/token", data={**form, **client})


def test_a_secret_that_comes_late_or_changes_is_taken_up(processes, org, tmp_path):
    secret = Path(tmp_path / "secret")
    keeps_the_process = listener_of(org, channel="/data/ContactChangeEvent")
    listener = listener_of(org)
    Connection.objects.filter(pk=listener.connection_id).update(client_secret=f"file:{secret}")
    process = processes.listener()
    wait_for(lambda: state_of(listener) == "failed")
    assert "cannot be read" in Position.objects.get(listener=listener).reason
    wait_for(lambda: Incident.objects.filter(listener=listener, closed_at=None).exists())

    secret.write_text(org.credentials["client_secret"] + "\n")

    wait_for(lambda: state_of(listener) == "receiving", what="the start")
    org.create("Account", Name="Acme")
    wait_for(lambda: AuditLogEntry.objects.filter(listener=listener).exists())
    wait_for(lambda: not Incident.objects.filter(listener=listener, closed_at=None).exists())
    assert state_of(keeps_the_process) == "receiving"
    assert process.is_running


def test_a_bearer_token_that_ended_stops_with_that_reason_and_a_new_one_starts_it(
    processes, org, tmp_path
):
    token = Path(tmp_path / "token")
    token.write_text(fresh_token(org))
    listener_of(org, channel="/data/ContactChangeEvent")
    listener = listener_of(org, auth="bearer_token")
    Connection.objects.filter(pk=listener.connection_id).update(token=f"file:{token}")
    processes.listener()
    wait_for(lambda: state_of(listener) == "receiving")

    org.fault("revoke_tokens")
    wait_for(lambda: state_of(listener) == "failed", what="the stop")
    reason = Position.objects.get(listener=listener).reason
    assert "the bearer token expired or was revoked" in reason

    token.write_text(fresh_token(org))
    wait_for(lambda: state_of(listener) == "receiving", what="the start")


def fresh_token(org) -> str:
    client = {key: org.credentials[key] for key in ("client_id", "client_secret")}
    form = {"grant_type": "client_credentials", **client}
    answer = org.http.post(f"{org.url}/services/oauth2/token", data=form)
    return answer.json()["access_token"]
