"""Positions of the Pub/Sub API can be refused, advance with keep-alives, or be kept by
Salesforce."""

import pytest

from audit.models import AuditLogEntry, Incident
from listeners.models import Position
from listeners.salesforce.replay_ids import for_cometd
from tests.crash_points import at, reached
from tests.sample_data import listener_of
from tests.servers import wait_for
from tests.simulator.process import SimulatorProcess
from tests.system.verdict import free_the_lease, published_changes, recorded_changes

pytestmark = pytest.mark.anywhere

ACCOUNTS = "/data/AccountChangeEvent"


@pytest.fixture
def simulator():
    options = ("--connect-timeout", "2", "--grpc-keep-alive", "0.5")
    with SimulatorProcess(*options, grpc=True) as org:
        org.managed_subscription("Kept", "/data/ChangeEvents", replay="earliest")
        yield org


@pytest.fixture
def hear(transactional_db, simulator):
    """Makes a listener over the Pub/Sub API."""

    def listener(**fields):
        here = {"transport": "pubsub", "pubsub_endpoint": simulator.grpc_endpoint}
        return listener_of(simulator, **here, **fields)

    return listener


def test_what_was_lost_with_a_refused_or_spoilt_position_arrives_and_the_incident_closes(
    processes, simulator, hear
):
    aged, spoilt = (hear(channel=ACCOUNTS, on_replay_lost=policy) for policy in ("earliest", "tip"))
    updated, deleted, back = (simulator.create("Account", Name=name)[0] for name in "abc")
    simulator.delete("Account", back)
    listener = processes.listener()
    wait_for(lambda: AuditLogEntry.objects.count() == 8, what="the first changes")
    wait_for(lambda: Position.objects.filter(caught_up_at__isnull=False).count() == 2)
    listener.kill()
    free_the_lease()
    Position.objects.filter(listener=spoilt).update(replay_id="0x0123456789")
    simulator.update("Account", updated, Phone="lost")
    simulator.delete("Account", deleted)
    simulator.undelete("Account", back)
    [new] = simulator.create("Account", Name="new")
    simulator.fault("age_out", forget=True)

    processes.listener()
    processes.worker()

    wait_for(
        lambda: Incident.objects.exclude(closed_at=None).count() == 2,
        what="the end of the incidents",
    )
    lost = {updated: "UPDATE", deleted: "DELETE", back: "UNDELETE", new: "CREATE"}
    for one, why in ((aged, "replayid.validation.failed"), (spoilt, "replayid.corrupted")):
        incident = Incident.objects.get(listener=one)
        assert (incident.kind, incident.closed_by) == ("replay_lost", "")
        assert why in incident.remedy
        assert incident.window_start < incident.window_end
        added = AuditLogEntry.objects.filter(listener=one, source="reconcile")
        assert dict(added.values_list("record_id", "change_type")) == lost
        assert added.count() == 4


def test_keep_alives_carry_an_idle_position_past_the_age_of_its_last_event(
    processes, simulator, hear
):
    hear(channel=ACCOUNTS)
    simulator.create("Account", Name="the last one for days")
    simulator.create("Contact", LastName="not heard")
    listener = processes.listener()
    wait_for(AuditLogEntry.objects.exists)
    of_event = AuditLogEntry.objects.get().replay_id
    simulator.advance(71 * 3600)
    simulator.create("Contact", LastName="not heard either")
    newest = simulator.state()["events"][-1]["replay_id"]
    wait_for(
        lambda: for_cometd(Position.objects.get().replay_id) == str(newest),
        what="the position at what it did not hear",
    )
    listener.kill()
    free_the_lease()
    simulator.advance(2 * 3600)
    simulator.create("Account", Name="after days")

    processes.listener()

    wait_for(lambda: AuditLogEntry.objects.count() == 2, what="the change after days")
    assert not Incident.objects.exists()
    # The event's own position would not have been good any more.
    assert simulator.state()["events"][0]["replay_id"] > int(for_cometd(of_event))


def kept_at(org) -> int | None:
    """Return the position of the managed subscription."""
    [kept] = org.state(events=0, records=0)["pubsub"]["managed_subscriptions"]
    return kept["committed"]


def test_what_was_committed_here_and_not_in_salesforce_is_recorded_once(processes, simulator, hear):
    listener = hear(managed_subscription="Kept")
    changes = simulator.burst(40, quiet=True)["changes"]
    fault = at("committed:kill")
    killed = processes.listener(CDC_BATCH_MAX="20", **fault)
    assert killed.wait() == -9
    assert reached(fault) == {"committed"}
    free_the_lease()
    first = AuditLogEntry.objects.count()
    assert 0 < first < changes
    assert kept_at(simulator) is None

    processes.listener()

    newest = simulator.state()["events"][-1]["replay_id"]
    wait_for(lambda: kept_at(simulator) == newest, what="the commit of the last one")
    assert recorded_changes(listener) == published_changes(simulator)
    assert simulator.state()["pubsub"]["delivered"] > len(simulator.state()["events"])
