"""A mirror recovers after its listener was stopped for longer than Salesforce retains events."""

import pytest
from django.utils import timezone

from audit.models import Incident
from listeners.models import Position
from mirror.models import Mirror
from mirror.status import status_of
from tests.mirror.crm.models import Account
from tests.mirror.load.loading import mirror_of
from tests.servers import wait_for
from tests.simulator.process import SimulatorProcess
from tests.system.test_a_mirror import in_the_org, rows, wait_until_equal

pytestmark = pytest.mark.anywhere


@pytest.fixture
def simulator():
    options = ("--connect-timeout", "1", "--grpc-keep-alive", "1", "--bulk-job-seconds", "0.05")
    with SimulatorProcess(*options, grpc=True) as org:
        yield org


def mirror_with(org, transport, policy) -> Mirror:
    org.create("Account", *({"Name": f"Acme {n}", "Phone": "0"} for n in range(20)))
    endpoint = {"pubsub_endpoint": org.grpc_endpoint} if transport == "pubsub" else {}
    mirror = mirror_of(org, is_live=False)
    listener = mirror.listener
    listener.transport, listener.on_replay_lost = transport, policy
    for name, value in endpoint.items():
        setattr(listener, name, value)
    listener.save()
    return mirror


def now_of(mirror) -> Mirror:
    return Mirror.objects.get(pk=mirror.pk)


def proven(mirror):
    """Return the time up to which the mirror claims to be in sync."""
    return status_of(now_of(mirror), timezone.now()).in_sync_as_of


def change_while_nobody_listens(org):
    """Make every kind of change; return one record of each."""
    keys = sorted(row.pk for row in Account.objects.all())
    binned = sorted(Account.all_objects.filter(is_deleted=True).values_list("pk", flat=True))
    kept, merged, updated, deleted, purged, *ghosts = keys[:8]
    org.update("Account", updated, Phone="lost")
    org.delete("Account", [deleted, purged])
    org.hard_delete("Account", [purged, *ghosts])
    org.undelete("Account", binned[0])
    org.merge("Account", kept, merged, fields={"Phone": "merged"})
    [created] = org.create("Account", Name="New", Phone="lost")
    [passing] = org.create("Account", Name="Passing", Phone="lost")
    org.delete("Account", passing)
    return {
        **{"updated": updated, "deleted": deleted, "ghost": ghosts[0], "merged": merged},
        **{"created": created, "restored": binned[0]},
    }


@pytest.mark.parametrize(
    ("transport", "policy"), [("cometd", "earliest"), ("pubsub", "tip")], ids=str
)
def test_time_longer_than_the_retention_is_reconciled_and_the_incident_says_what_was_repaired(
    processes, simulator, transactional_db, transport, policy
):
    mirror = mirror_with(simulator, transport, policy)
    listener = processes.listener()
    processes.worker()
    wait_for(lambda: now_of(mirror).phase == "in_sync", what="the load")
    simulator.delete("Account", Account.objects.first().pk)
    wait_until_equal(simulator)
    wait_for(lambda: proven(mirror) is not None, what="a proof")
    listener.kill()
    Position.objects.update(lease_until="2020-01-01T00:00Z")

    stopped_at = timezone.now()
    made = change_while_nobody_listens(simulator)
    simulator.fault("age_out")
    assert proven(mirror) < stopped_at
    processes.listener()

    states: set[str] = set()

    def is_reconciled():
        """Read the claim before the rows, because the rows only become more equal."""
        claimed = proven(mirror)
        if claimed is None or claimed < stopped_at:
            states.add(status_of(now_of(mirror), timezone.now()).state)
            return False
        assert rows() == in_the_org(simulator), "claimed to be in sync before the rows were equal"
        return True

    wait_for(is_reconciled, what=f"sync: {list(mirror.runs.values())}")

    assert "catching_up" in states
    wait_until_equal(simulator)
    assert not Account.objects.filter(pk__in=[made["ghost"], made["deleted"], made["merged"]])
    assert {*Account.objects.filter(phone="lost").values_list("pk", flat=True)} == {
        made["updated"],
        made["created"],
    }
    assert Account.objects.filter(pk=made["restored"]).exists()
    incident = Incident.objects.get(kind="replay_lost")
    assert "crm.Account: 1" in incident.note, incident.note
    assert "that changed in Salesforce since" in incident.note
    assert "in Salesforce were compared" in incident.note
    assert "no difference left." in incident.note
    simulator.update("Account", made["created"], Phone="live")  # and the stream goes on
    wait_for(lambda: Account.objects.filter(phone="live").exists(), what="a later change")
