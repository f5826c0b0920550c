"""A position is used only in its own org and channel."""

import pytest

from audit.models import AuditLogEntry, Incident
from listeners.models import Listener, Position
from tests.sample_data import connection_to, listener_of
from tests.servers import wait_for
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.anywhere


@pytest.fixture
def listener(transactional_db, simulator):
    """A stopped listener with a position after its first change."""
    simulator.create("Account", Name="first")
    return listener_of(simulator)


def record_one(processes) -> None:
    """Let a process record one change and end."""
    process = processes.listener("--max-events", "1")
    assert process.wait() == 0, process.output


def test_on_another_channel_it_is_lost_and_the_policy_is_followed(processes, simulator, listener):
    record_one(processes)
    simulator.create("Contact", LastName="meanwhile")

    Listener.objects.filter(pk=listener.pk).update(channel="/data/ContactChangeEvent")
    record_one(processes)

    [incident] = Incident.objects.filter(kind="replay_lost")
    assert "another org or channel" in incident.remedy
    changes = AuditLogEntry.objects.order_by("id").values_list("entity_name", flat=True)
    assert list(changes) == ["Account", "Contact"]
    position = Position.objects.get()
    assert position.channel == "/data/ContactChangeEvent"
    again = processes.listener("--until-idle", "3")
    assert again.wait() == 0, again.output
    assert Incident.objects.count() == 1, "it is told once"


def test_in_another_org_it_is_lost(processes, simulator, listener):
    record_one(processes)
    Position.objects.update(org_id="00D000000000001AAA")  # as if that had been another one
    simulator.create("Account", Name="second")

    process = processes.listener()

    wait_for(lambda: AuditLogEntry.objects.count() >= 2, what="the second change")
    assert process.terminate() == 0, process.output
    assert Incident.objects.filter(kind="replay_lost").count() == 1
    assert Position.objects.get().org_id == simulator.credentials["org_id"]
    assert AuditLogEntry.objects.count() == 2, "the first, received again, adds nothing"


def test_another_login_to_the_same_org_goes_on_where_it_was(processes, simulator, listener):
    record_one(processes)
    simulator.create("Account", Name="second")

    other = connection_to(simulator.url, simulator.credentials, auth="password")
    Listener.objects.filter(pk=listener.pk).update(connection=other)
    record_one(processes)

    assert not Incident.objects.exists()
    assert AuditLogEntry.objects.count() == 2


def test_a_forgotten_position_starts_a_listener_that_stopped_over_it(
    processes, simulator, admin_client
):
    """The position was refused and the policy is to stop, so that an operator has to forget it."""
    keeps_the_process = listener_of(simulator, channel="/data/ContactChangeEvent")
    simulator.create("Account", Name="first")
    listener = listener_of(simulator, on_replay_lost="stop", replay_from="999999999")
    process = processes.listener()
    wait_for(lambda: state_of(listener) == "failed")
    wait_for(lambda: state_of(keeps_the_process) == "receiving")
    Position.objects.filter(listener=listener).update(replay_id="999999999")
    Listener.objects.filter(pk=listener.pk).update(replay_from="earliest")

    page = f"/admin/listeners/listener/{listener.pk}/forget-position/"
    response = admin_client.post(page)

    assert response.status_code == 302
    wait_for(lambda: AuditLogEntry.objects.filter(listener=listener).count() == 1)
    assert process.is_running


def state_of(listener) -> str:
    return getattr(Position.objects.filter(listener=listener).first(), "state", "")


@pytest.fixture
def simulator():
    with SimulatorProcess("--connect-timeout", "2") as org:
        yield org
