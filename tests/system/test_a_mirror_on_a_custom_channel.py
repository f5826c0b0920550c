"""A mirror whose changes arrive on a custom channel survives a schema change in mid-stream."""

import pytest

from listeners.models import Position
from mirror.models import Mirror
from tests.mirror.crm.models import Account
from tests.mirror.load.loading import mirror_of
from tests.servers import wait_for
from tests.simulator.process import SimulatorProcess
from tests.system.test_a_mirror import wait_until_equal

pytestmark = pytest.mark.anywhere

CHANNEL = "/data/Sales__chn"


@pytest.fixture
def simulator():
    options = ("--connect-timeout", "1", "--grpc-keep-alive", "1", "--bulk-job-seconds", "0.05")
    with SimulatorProcess(*options, grpc=True) as org:
        org.channel("Sales__chn", "Account", "Contact")
        yield org


def values(field) -> dict[str, str]:
    """Return the values of a field without a column, by record."""
    raws = Account.objects.values_list("pk", "raw")
    return {key: raw[field] for key, raw in raws if raw.get(field)}


def test_complaint_9_a_custom_channel_and_a_schema_change_in_mid_stream_lose_no_change(
    processes, simulator, transactional_db
):
    """Clients fail on custom channels, whose topic has no schema, or after a schema change in
    mid-stream (pub-sub-api #63, pub-sub-api-node-client #27 #34 #36)."""
    keys = simulator.create("Account", *({"Name": f"Acme {n}", "Phone": "0"} for n in range(12)))
    mirror = mirror_of(simulator, is_live=False)
    listener = mirror.listener
    listener.channel, listener.transport = CHANNEL, "pubsub"
    listener.pubsub_endpoint = simulator.grpc_endpoint
    listener.save()
    hearing = processes.listener()
    processes.worker()
    wait_for(lambda: Mirror.objects.get(pk=mirror.pk).phase == "in_sync", what="a load")

    simulator.update("Account", keys[:4], Phone="1")
    simulator.entity("Account", fields={"Region__c": "string"})
    simulator.update("Account", keys[4:8], Phone="1", Region__c="North")
    wait_until_equal(simulator)
    hearing.kill()
    Position.objects.update(lease_until="2020-01-01T00:00Z")
    simulator.update("Account", keys[:2], Phone="2")  # two schemas in one batch
    simulator.entity("Account", fields={"Tier__c": "string"})
    simulator.update("Account", keys[8:], Phone="2", Tier__c="Gold")
    simulator.delete("Account", keys[0])
    processes.listener()

    wait_until_equal(simulator)
    wait_for(
        lambda: values("Tier__c") == dict.fromkeys(keys[8:], "Gold"),
        what="the new field",
    )
    assert values("Region__c") == dict.fromkeys(keys[4:8], "North")
