"""Each change from another project's CometD server is recorded once and handled once."""

import signal
import time
from itertools import pairwise

import pytest
import requests
from django.utils import timezone

from audit.models import AuditLogEntry, Incident
from handlers.models import HandlerMapping
from listeners.models import Connection, KeptTokens, Position
from listeners.token_stores.database import readable
from tests import sample_data
from tests.peer.outcome import (
    assert_handled_once,
    assert_recorded_once,
    wait_until_handled,
    wait_until_recorded,
)
from tests.peer.payloads import changes_of, creations, mixed_burst
from tests.peer.process import PeerProcess
from tests.servers import free_port, wait_for

pytestmark = pytest.mark.anywhere


def test_a_mixed_burst_is_recorded_and_handled_once_and_a_restart_resumes_from_its_position(
    processes, peer, peer_listener, samples
):
    burst = mixed_burst(samples)
    half = len(burst) // 2
    listener = processes.listener()
    processes.worker(concurrency=2)
    peer.wait_until_held()
    received = peer.publish(*burst[:half])
    wait_until_recorded(len(changes_of(burst[:half])))
    assert listener.terminate() == 0, listener.output
    stored = Position.objects.get().replay_id

    peer.publish(*burst[half:])
    listener = processes.listener()

    wait_until_handled(burst)
    assert listener.terminate() == 0, listener.output
    assert stored == str(received[-1])
    assert peer.replays() == [-2, received[-1]]
    assert_recorded_once(burst)
    assert_handled_once(burst)
    assert set(Incident.objects.values_list("kind", "key", "count")) == {
        ("gap", "Account", 8),
        ("gap", "Contact", 8),
        ("gap", "Employee__c", 8),
        ("gap", "Event", 1),
        ("overflow", "Account", 1),
        ("unknown_change_type", "Employee__c RECLASSIFY", 1),
    }


@pytest.mark.parametrize(("auth", "refusal"), [("password", "bayeux"), ("refresh_token", "http")])
def test_faults_in_the_middle_of_a_burst_change_nothing_in_the_outcome(
    transactional_db, processes, peer_modules, samples, auth, refusal
):
    burst = mixed_burst(samples)
    with PeerProcess(peer_modules, rotate=auth == "refresh_token") as peer:
        sample_data.listener_of(peer, auth=auth, gap_policy="record")
        listener = processes.listener()
        processes.worker(concurrency=2)
        faults = [
            peer.drop_sessions,
            lambda: peer.cut(1, with_events=True),
            lambda: peer.revoke_tokens(refusal=refusal),
            lambda: peer.unavailable(2),
            peer.hang_up,
            lambda: peer.busy(1),
            lambda: (peer.revoke_tokens(refusal=refusal), peer.drop_sessions()),
            lambda: peer.cut(2),
        ]
        idle_faults = [
            peer.hang_up,
            peer.drop_sessions,
            lambda: peer.revoke_tokens(refusal=refusal),
        ]
        parts = parts_of(burst, 2 * len(faults) + len(idle_faults))

        peer.wait_until_held()
        for fault in faults:
            peer.publish(*parts.pop(0))
            fault()
            peer.publish(*parts.pop(0))
            wait_until_caught_up(peer)
        for fault in idle_faults:
            fault()
            peer.publish(*parts.pop(0))
            wait_until_caught_up(peer)

        assert not parts
        wait_until_handled(burst)
        assert listener.terminate() == 0, listener.output
        assert_recorded_once(burst)
        assert_handled_once(burst)
        log = peer.log()
        assert all(login["granted"] for login in log["logins"])
        assert log["happened"].pop("unknown-client") >= 2
        assert log["happened"].pop("unauthorized") >= 3
        assert log["happened"].pop("hangup") >= 1
        assert log["happened"] == {"unavailable": 2, "busy": 1, "cut-events": 1, "cut": 2}
        first = peer.credentials["refresh_token"]
        assert Connection.objects.get().refresh_token.reveal() == first
        kept = readable(KeptTokens.objects.get().kept).refresh_token
        assert kept not in ("", first) if auth == "refresh_token" else kept == ""


def parts_of(burst, count):
    """Return the burst in `count` parts of about equal size, in order."""
    bounds = [len(burst) * number // count for number in range(count + 1)]
    return [burst[begin:end] for begin, end in pairwise(bounds)]


def wait_until_caught_up(peer):
    """Wait until the last event is recorded and the next poll is held."""
    wait_for(
        lambda: Position.objects.get().replay_id == str(peer.last_replay_id),
        what="the position at the last event",
    )
    peer.wait_until_held()


def test_a_login_is_not_repeated_because_the_server_is_busy(processes, peer, peer_listener):
    listener = processes.listener()
    peer.wait_until_held()

    peer.busy(3)
    peer.publish(*creations(3))
    wait_for(lambda: peer.happened("busy") == 3)
    peer.publish(*creations(1))

    wait_until_recorded(4)
    assert listener.terminate() == 0, listener.output
    assert len(peer.log()["logins"]) == 1


# At the tip


def test_what_is_published_while_a_session_is_lost_before_the_first_event_is_not_lost(
    transactional_db, processes, peer
):
    sample_data.listener_of(peer, replay_from="tip")
    peer.publish(*creations(3, commitTimestamp=an_hour_before()))
    listener = processes.listener()
    peer.wait_until_held()
    peer.unavailable(1000)
    peer.drop_sessions()
    wait_for(lambda: peer.happened("unavailable"))

    burst = creations(5)
    peer.publish(*burst)
    peer.unavailable(0)

    wait_until_recorded(len(burst))
    assert listener.terminate() == 0, listener.output
    assert peer.replays() == [-1, -2]
    assert_recorded_once(burst)


def test_what_is_published_during_a_restart_before_the_first_event_is_not_lost(
    transactional_db, processes, peer
):
    sample_data.listener_of(peer, replay_from="tip")
    peer.publish(*creations(3, commitTimestamp=an_hour_before()))
    listener = processes.listener()
    peer.wait_until_held()
    assert listener.terminate() == 0, listener.output

    burst = creations(5)
    peer.publish(*burst)
    listener = processes.listener()

    wait_until_recorded(len(burst))
    assert listener.terminate() == 0, listener.output
    assert peer.replays() == [-1, -2]
    assert_recorded_once(burst)


@pytest.mark.parametrize("fault", ["cut-events", "mangle-events", "hangup"])
def test_an_answer_lost_on_its_way_before_the_first_event_arrived_loses_nothing(
    transactional_db, processes, peer, fault
):
    sample_data.listener_of(peer, replay_from="tip")
    listener = processes.listener()
    peer.wait_until_held()
    match fault:
        case "cut-events":
            peer.cut(1, with_events=True)
        case "mangle-events":
            peer.mangle(1)
        case _:
            peer.hang_up()

    burst = creations(5)
    peer.publish(*burst[:3])
    wait_for(lambda: peer.happened(fault))
    peer.publish(*burst[3:])

    wait_for(lambda: Position.objects.get().replay_id == str(peer.last_replay_id))
    assert listener.terminate() == 0, listener.output
    assert_recorded_once(burst)


def an_hour_before():
    return int(time.time() * 1000) - 3_600_000


# Several processes


def test_a_listener_killed_in_the_middle_of_a_burst_leaves_nothing_undone(
    processes, peer, peer_listener
):
    burst = creations(400)
    listener = processes.listener(CDC_BATCH_MAX="20")
    processes.worker(concurrency=2)
    peer.wait_until_held()
    peer.publish(*burst[:200])
    wait_until_recorded(20)

    listener.signal(signal.SIGKILL)
    peer.publish(*burst[200:])
    listener.wait()
    recorded = AuditLogEntry.objects.count()
    Position.objects.update(lease_until=timezone.now())  # as if its ten seconds were over
    successor = processes.listener()

    wait_until_handled(burst)
    assert successor.terminate() == 0, successor.output
    assert 20 <= recorded < 400
    assert_recorded_once(burst)
    assert_handled_once(burst)


def test_one_of_two_processes_subscribes_and_the_other_takes_over_when_it_is_killed(
    processes, peer, peer_listener
):
    HandlerMapping.objects.update(entity="Account")
    accounts = creations(200)
    burst = [one for account in accounts for one in (account, *creations(9, "Contact"))]
    ports = [free_port(), free_port()]
    both = [processes.listener("--metrics-port", str(p), CDC_BATCH_MAX="50") for p in ports]
    processes.worker(concurrency=2)
    for port in ports:
        wait_for(lambda port=port: is_live(port), what="a listener process")
    peer.wait_until_held()
    for part in parts_of(burst[:1000], 10):
        peer.publish(*part)
    wait_until_recorded(100)

    [holder] = [process for process in both if is_held_by(process)]
    [standby] = [process for process in both if process is not holder]
    holder.signal(signal.SIGKILL)
    holder.wait()
    recorded = AuditLogEntry.objects.count()
    before = peer.replays()
    for part in parts_of(burst[1000:], 10):
        peer.publish(*part)

    wait_for(lambda: is_held_by(standby), what="the standby as the holder")
    wait_until_recorded(len(burst))
    wait_until_handled(accounts)
    assert standby.terminate() == 0, standby.output
    assert before == [-2]
    assert 100 <= recorded < 2000
    assert len(peer.replays()) == 2
    assert_recorded_once(burst)
    assert_handled_once(accounts)


def is_held_by(process):
    return f":{process.pid}:" in Position.objects.get().holder


def is_live(port):
    try:
        return requests.get(f"http://127.0.0.1:{port}/healthz/live", timeout=60).ok
    except requests.ConnectionError:
        return False
