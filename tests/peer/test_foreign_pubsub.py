"""Each change from another project's gRPC and Avro server is recorded once and handled once."""

import pytest

from audit.models import Incident, Quarantined
from listeners.models import Listener, Position
from tests import sample_data
from tests.peer.outcome import (
    assert_handled_once,
    assert_recorded_once,
    wait_until_handled,
    wait_until_recorded,
)
from tests.peer.payloads import changes_of
from tests.peer.pubsub_payloads import Schemas, burst_after_growth, burst_before_growth, creations
from tests.peer.pubsub_process import PubSubPeer, Spoilt
from tests.servers import wait_for

pytestmark = pytest.mark.anywhere

NAME = "CRM_Sync"


@pytest.fixture
def schemas(samples):
    return Schemas(samples)


@pytest.fixture
def peer(peer_modules, schemas):
    """A peer whose refresh tokens are valid for one use."""
    options = {"rotate": True, "subscriptions": {NAME: "/data/ChangeEvents"}}
    with PubSubPeer(peer_modules, **options) as running:
        running.define(**schemas)
        yield running


@pytest.fixture
def peer_listener(transactional_db, peer) -> Listener:
    """A listener that takes a connection for dead after a few seconds of silence."""
    return sample_data.listener_of(
        peer,
        transport="pubsub",
        pubsub_endpoint=peer.endpoint,
        auth="refresh_token",
        gap_policy="record",
        keep_alive_interval=0.5,
        connection_timeout=4,
    )


def test_a_mixed_burst_over_pubsub_is_recorded_and_handled_once_across_a_restart(
    processes, peer, peer_listener, schemas
):
    before = burst_before_growth(schemas)
    listener = processes.listener()
    processes.worker(concurrency=2)
    peer.wait_until_held()
    peer.publish(*before[:5], Spoilt("Account", b"\xff" * 40), *before[5:])
    received = peer.publish(Spoilt("Contact", b"\x02", schema_id="no-such-schema-was-ever"))
    wait_until_recorded(len(changes_of(before)))
    wait_until_at(received[-1])
    assert listener.terminate() == 0, listener.output

    schemas.grow()
    peer.define(**schemas)
    after = burst_after_growth(schemas)
    peer.publish(*after)
    listener = processes.listener()

    burst = [*before, *after]
    wait_until_handled(burst)
    assert listener.terminate() == 0, listener.output
    assert peer.replays() == [("EARLIEST", ""), ("CUSTOM", received[-1])]
    assert_recorded_once(burst)
    assert_handled_once(burst)
    assert Quarantined.objects.count() == 2
    assert set(Incident.objects.values_list("kind", "key", "count")) == {
        ("undecodable", "", 2),
        ("gap", "Account", 8),
        ("gap", "Contact", 8),
        ("gap", "Employee__c", 8),
        ("overflow", "Account", 1),
        ("unknown_change_type", "Employee__c RECLASSIFY", 1),
    }


def test_faults_in_the_middle_of_a_burst_over_pubsub_change_nothing_in_the_outcome(
    processes, peer, peer_listener
):
    faults = [
        peer.cut,
        peer.revoke_tokens,
        lambda: peer.end_streams("reset"),
        lambda: peer.end_streams("unavailable"),
        lambda: (peer.refuse("network", 2), peer.end_streams("network")),
        lambda: (peer.refuse("quota"), peer.end_streams("quota")),
        lambda: (peer.refuse("protection"), peer.cut()),
        lambda: (peer.refuse("unavailable", method="GetTopic"), peer.revoke_tokens()),
        peer.stall,
    ]
    burst = creations(20 * len(faults) + 120)
    rest = iter(burst)
    listener = processes.listener()
    processes.worker(concurrency=2)
    peer.wait_until_held()
    peer.refuse("unavailable", method="GetSchema")

    for fault in faults:
        peer.publish(*(next(rest) for _ in range(10)))
        fault()
        peer.publish(*(next(rest) for _ in range(10)))
        wait_until_at(peer.last_replay_id)
        peer.wait_until_held()
        wait_for(lambda: peer.log()["connections"] == 1, what="one connection")
    lost = peer.last_replay_id
    peer.forget_events()
    peer.cut()
    peer.publish(*rest)

    wait_until_handled(burst)
    assert listener.terminate() == 0, listener.output
    assert_recorded_once(burst)
    assert_handled_once(burst)
    [incident] = Incident.objects.filter(kind=Incident.Kind.REPLAY_LOST)
    assert lost in incident.summary
    assert peer.replays()[-1] == ("EARLIEST", "")
    log = peer.log()
    assert all(login["granted"] for login in log["logins"])
    # On a slow machine the listener may replace its connection meanwhile, so it is not there to be
    # cut, or meets a fault once more.
    least = {
        "unauthorized": 2,
        "unanswered": 1,
        "cut": 1,
        "unavailable-GetSchema": 1,
        "reset": 1,
        "unavailable": 1,
        "network": 1,
        "network-Subscribe": 2,
        "quota": 1,
        "quota-Subscribe": 1,
        "protection-Subscribe": 1,
        "unavailable-GetTopic": 1,
    }
    assert log["happened"].keys() == least.keys()
    assert all(log["happened"][fault] >= times for fault, times in least.items())


def test_a_managed_subscription_is_committed_as_far_as_it_is_recorded_and_goes_on_from_there(
    processes, peer, peer_listener
):
    # A stream that is replaced, as on a slow machine, would be sent events again.
    Listener.objects.update(managed_subscription=NAME, connection_timeout=60)
    burst = creations(250)
    listener = processes.listener()
    replay_ids = peer.publish(*burst[:130])
    wait_for(lambda: peer.committed(NAME)[-1:] == replay_ids[-1:], what="the last commit")
    assert listener.terminate() == 0, listener.output

    peer.publish(*burst[130:])
    listener = processes.listener()

    wait_for(lambda: peer.committed(NAME)[-1] == peer.last_replay_id, what="the last commit")
    assert listener.terminate() == 0, listener.output
    assert_recorded_once(burst)
    assert peer.log()["delivered"] == len(burst)


def wait_until_at(replay_id):
    wait_for(
        lambda: Position.objects.get().replay_id == replay_id,
        what="the position at the last event",
    )
