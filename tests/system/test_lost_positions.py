"""A position that Salesforce refuses loses nothing: missing changes are read over REST."""

import pytest
from django.utils import timezone

from audit.models import AuditLogEntry, Incident, Reconciliation
from handlers.models import Delivery
from listeners.models import Position
from tests.crash_points import at
from tests.sample_data import listener_of
from tests.sample_handlers import read_journal
from tests.servers import wait_for
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.anywhere


@pytest.fixture
def simulator():
    with SimulatorProcess("--connect-timeout", "1") as org:
        yield org


def entries(listener) -> list[AuditLogEntry]:
    return list(AuditLogEntry.objects.filter(listener=listener).order_by("id"))


def handled() -> list[int]:
    return sorted(line["id"] for line in read_journal())


def test_what_was_lost_with_the_position_arrives_once_and_the_incident_closes_by_itself(
    processes, simulator, transactional_db
):
    channel = "/data/AccountChangeEvent"
    going_back, going_on = (
        listener_of(simulator, channel=channel, on_replay_lost=policy)
        for policy in ("earliest", "tip")
    )
    updated, deleted, back, same = (simulator.create("Account", Name=n)[0] for n in "abcd")
    simulator.delete("Account", back)
    worker = processes.worker(**at("added:kill-all"))
    listener = processes.listener()
    wait_for(lambda: len(handled()) == 10, what="the first changes")
    wait_for(
        lambda: Position.objects.filter(caught_up_at__isnull=False).count() == 2,
        what="answers without a change",
    )
    listener.kill()
    Position.objects.update(lease_until="2020-01-01T00:00Z")
    simulator.update("Account", updated, Phone="lost")
    simulator.delete("Account", deleted)
    simulator.undelete("Account", back)
    [new] = simulator.create("Account", Name="new")
    simulator.fault("age_out")

    processes.listener()
    wait_for(lambda: not worker.is_running, what="its death in a comparison")
    Reconciliation.objects.update(claimed_until=None, due_at=timezone.now())  # as time will do
    processes.worker()

    wait_for(
        lambda: Incident.objects.filter(kind="replay_lost", closed_by="").exclude(closed_at=None)
        .count() == 2,
        what="the end of the incidents",
    )  # fmt: skip
    lost = {updated: "UPDATE", deleted: "DELETE", back: "UNDELETE", new: "CREATE"}
    for one in (going_back, going_on):
        added = [entry for entry in entries(one) if entry.source == "reconcile"]
        assert {entry.record_id: entry.change_type for entry in added} == lost
        assert len(added) == 4
        note = Incident.objects.get(listener=one, kind="replay_lost").note
        assert "1 is complete in the audit log, 4 were missing and are recorded now." in note
        assert "Everything that changed in the window is now complete in the audit log." in note

    simulator.update("Account", same, Phone="live")  # and the stream goes on
    wait_for(lambda: len(handled()) == 20, what="every change in its handler")
    assert handled() == sorted(entry.pk for entry in AuditLogEntry.objects.all())
    wait_for(lambda: not Delivery.objects.exclude(state="succeeded").exists(), what="their end")


def test_a_listener_cut_off_at_the_tip_before_its_first_event_loses_nothing(
    processes, simulator, transactional_db
):
    listener_of(simulator, replay_from="tip", on_replay_lost="tip")
    listener = processes.listener()
    wait_for(lambda: Position.objects.filter(tip_since__isnull=False).exists())
    listener.kill()
    Position.objects.update(lease_until="2020-01-01T00:00Z")
    [between] = simulator.create("Account", Name="between")

    processes.listener()

    wait_for(AuditLogEntry.objects.exists, what="the change between")
    assert [entry.record_id for entry in AuditLogEntry.objects.all()] == [between]
    assert not Incident.objects.filter(kind="replay_lost").exists()
