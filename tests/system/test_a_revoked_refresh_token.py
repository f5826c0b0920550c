"""When Salesforce revokes the refresh token, the listener stops with the reason, and continues
without loss once an operator has entered a new one."""

import pytest

from audit.models import AuditLogEntry, Incident
from handlers.models import Delivery
from listeners.models import Connection, Position, SpentToken
from tests.sample_data import listener_of
from tests.servers import wait_for
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.anywhere


@pytest.fixture
def org():
    with SimulatorProcess("--connect-timeout", "2", "--rotate-refresh-tokens") as simulator:
        yield simulator


def refreshes(org) -> int:
    return org.state()["logins"]["refresh_requests"]


def state_of(listener) -> str:
    return getattr(Position.objects.filter(listener=listener).first(), "state", "")


def open_incidents(listener) -> set[str]:
    found = Incident.objects.filter(listener=listener, closed_at=None)
    return set(found.values_list("kind", flat=True))


def test_a_new_one_entered_in_the_admin_starts_the_listener_again(processes, org, admin_client):
    # A second listener on a login of its own keeps the process alive.
    listener = listener_of(org, auth="refresh_token")
    other = listener_of(org, channel="/data/ContactChangeEvent")
    processes.worker()
    process = processes.listener()
    wait_for(lambda: state_of(listener) == state_of(other) == "receiving")
    org.new_refresh_token()  # another client authorized again: ours is spent
    org.fault("revoke_tokens")

    wait_for(lambda: state_of(listener) == "failed", what="the stop")
    wait_for(lambda: open_incidents(listener) == {"login", "configuration"}, what="both incidents")
    reason = Position.objects.get(listener=listener).reason
    assert "expired access/refresh token" in reason
    assert "Authorize again and enter the new refresh token." in reason
    asked = refreshes(org)
    org.create("Account", Name="meanwhile")
    # The reuse revoked that one too; the operator authorizes after reading the incident.
    authorized_anew = org.new_refresh_token()

    connection = Connection.objects.get(pk=listener.connection_id)
    response = admin_client.post(
        f"/admin/listeners/connection/{connection.pk}/change/",
        {
            "name": connection.name,
            "auth": "refresh_token",
            "base_url": connection.base_url,
            "client_id": connection.client_id,
            "refresh_token": authorized_anew,
        },
    )

    assert response.status_code == 302
    wait_for(lambda: AuditLogEntry.objects.filter(listener=listener).count() == 1)
    wait_for(lambda: Delivery.objects.filter(state="succeeded").count() == 1)
    assert process.is_running
    wait_for(lambda: open_incidents(listener) == set(), what="the end of the incidents")
    assert refreshes(org) == asked + 1
    assert SpentToken.objects.filter(connection=connection).count() == 3
