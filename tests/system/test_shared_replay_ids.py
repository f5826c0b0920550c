"""A channel with enriched fields splits a change of several records into events with one replay id.
A listener that is killed between two of them receives the rest."""

import pytest

from audit.models import AuditLogEntry
from listeners.models import Position
from listeners.salesforce.replay_ids import for_cometd
from tests.crash_points import at, reached
from tests.sample_data import listener_of
from tests.servers import wait_for
from tests.simulator.process import SimulatorProcess
from tests.system.verdict import free_the_lease, published_changes, recorded_changes

pytestmark = pytest.mark.anywhere

CHANNEL = "/data/Sales__chn"


@pytest.fixture
def simulator():
    with SimulatorProcess(grpc=True) as org:  # its keep-alives are further apart than this test
        org.channel("Sales__chn", "Account", enriched_fields={"Account": ["Industry"]})
        org.managed_subscription("Kept", CHANNEL, replay="earliest")
        yield org


@pytest.mark.parametrize("kind", ["cometd", "managed"])
def test_killed_between_two_events_with_one_id_it_loses_neither(
    processes, simulator, transactional_db, kind
):
    given = {"channel": CHANNEL}
    if kind == "managed":
        given |= {"transport": "pubsub", "pubsub_endpoint": simulator.grpc_endpoint}
        given |= {"managed_subscription": "Kept"}
    listener = listener_of(simulator, **given)
    keys = simulator.create("Account", *({"Name": name, "Industry": name * 2} for name in "ABC"))
    simulator.update("Account", keys, Phone="1")
    *_, before, last = (event["replay_id"] for event in simulator.state()["events"])
    fault = at("committed:kill:4")

    killed = processes.listener(CDC_BATCH_MAX="1", **fault)

    assert killed.wait() == -9, killed.output
    assert reached(fault) == {"committed"}
    assert AuditLogEntry.objects.count() == 4  # three creations, and one of the three updates
    assert for_cometd(Position.objects.get().replay_id) == str(before)
    assert for_cometd(Position.objects.get().newest_id) == str(last)
    free_the_lease()

    processes.listener(CDC_BATCH_MAX="1")

    published = published_changes(simulator)
    wait_for(lambda: len(recorded_changes(listener)) >= len(published), what="the rest")
    assert recorded_changes(listener) == published
    if kind == "managed":
        wait_for(lambda: committed(simulator) == before, what="the commit of the id before")
    enriched = AuditLogEntry.objects.filter(change_type="UPDATE").values_list("changed_data")
    assert sorted(data["Industry"] for (data,) in enriched) == ["AA", "BB", "CC"]


def committed(org) -> int | None:
    """Return the position of the managed subscription in Salesforce."""
    [kept] = org.state(events=0, records=0)["pubsub"]["managed_subscriptions"]
    at_id: int | None = kept["committed"]
    return at_id
