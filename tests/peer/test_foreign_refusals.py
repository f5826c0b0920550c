"""Refusals and malformed answers of another project's CometD server have a clear reason and lose
nothing."""

import pytest

from audit.models import AuditLogEntry, Incident, Quarantined
from listeners.models import Listener, Position
from tests import sample_data
from tests.peer.outcome import assert_recorded_once, wait_until_recorded
from tests.peer.payloads import creations
from tests.servers import wait_for

pytestmark = pytest.mark.anywhere


def test_a_wrong_client_secret_is_tried_three_times_and_stops_the_listener_with_the_reason(
    transactional_db, processes, peer
):
    wrong = "not-the-secret-of-this-client"
    credentials = {**peer.credentials, "client_secret": wrong}
    sample_data.make_listener(connection=sample_data.connection_to(peer.url, credentials))

    listener = processes.listener()

    assert listener.wait() == 3, listener.output
    position = Position.objects.get()
    assert position.state == Position.State.FAILED
    assert "invalid client credentials" in position.reason
    assert "invalid client credentials" in listener.output
    assert wrong not in position.reason + listener.output
    assert [login["granted"] for login in peer.log()["logins"]] == [False] * 3


def test_malformed_json_in_an_answer_is_kept_and_its_events_come_again(
    processes, peer, peer_listener
):
    burst = creations(6)
    listener = processes.listener()
    peer.wait_until_held()
    peer.publish(*burst[:2])
    wait_until_recorded(2)
    peer.wait_until_held()
    peer.mangle(1)

    peer.publish(*burst[2:4])
    wait_for(lambda: peer.happened("mangle-events"))
    peer.publish(*burst[4:])

    wait_until_recorded(len(burst))
    assert listener.terminate() == 0, listener.output
    assert_recorded_once(burst)
    kept = Quarantined.objects.get()
    assert "not JSON" in kept.error
    assert burst[2]["ChangeEventHeader"]["transactionKey"] in kept.raw
    assert Incident.objects.get().kind == Incident.Kind.MALFORMED_ANSWER


def test_a_payload_without_a_header_is_quarantined_and_its_neighbours_are_recorded(
    processes, peer, peer_listener
):
    burst = creations(4)
    listener = processes.listener()
    peer.wait_until_held()

    replay_ids = peer.publish(*burst[:2], {"Name": "without a header"}, *burst[2:])

    wait_until_recorded(len(burst))
    assert listener.terminate() == 0, listener.output
    assert_recorded_once(burst)
    kept = Quarantined.objects.get()
    assert "ChangeEventHeader is missing" in kept.error
    assert "without a header" in kept.raw
    assert kept.replay_id == str(replay_ids[2])
    assert Incident.objects.get().kind == Incident.Kind.UNDECODABLE


def test_a_refused_position_opens_an_incident_and_goes_on_with_the_earliest_event(
    processes, peer, peer_listener
):
    burst = creations(4)
    before = received_and_stopped(processes, peer, burst[:2])
    peer.forget_events()
    peer.publish(*burst[2:])

    listener = processes.listener()

    wait_until_recorded(len(burst))
    assert listener.terminate() == 0, listener.output
    assert_recorded_once(burst)
    incident = Incident.objects.get()
    assert incident.kind == Incident.Kind.REPLAY_LOST
    assert incident.window_start < before.last_event_at < incident.window_end
    assert before.replay_id in incident.summary
    assert peer.replays() == [-2, -2]


def test_a_refused_position_stops_the_listener_where_its_policy_says_so(
    processes, peer, peer_listener
):
    Listener.objects.update(on_replay_lost="stop")
    before = received_and_stopped(processes, peer, creations(2))
    peer.forget_events()
    peer.publish(*creations(2))

    listener = processes.listener()

    assert listener.wait() == 3, listener.output
    position = Position.objects.get()
    assert position.state == Position.State.FAILED
    assert f"The replayId {{{before.replay_id}}} you provided was invalid." in position.reason
    assert position.replay_id == before.replay_id
    assert AuditLogEntry.objects.count() == 2
    assert Incident.objects.get().kind == Incident.Kind.REPLAY_LOST


def received_and_stopped(processes, peer, payloads) -> Position:
    """Let a listener receive these payloads and stop, and return its position."""
    peer.publish(*payloads)
    listener = processes.listener("--max-events", str(len(payloads)))
    assert listener.wait() == 0, listener.output
    return Position.objects.get()


def test_an_unreachable_host_is_tried_until_it_is_there(transactional_db, processes, absent_peer):
    burst = creations(3)
    sample_data.listener_of(absent_peer)

    listener = processes.listener()
    wait_for(lambda: "cannot be reached" in reason())
    state = Position.objects.get().state
    absent_peer.start()
    absent_peer.publish(*burst)

    wait_until_recorded(len(burst))
    assert state == Position.State.CONNECTING
    wait_for(lambda: reason() == "")
    assert listener.terminate() == 0, listener.output
    assert_recorded_once(burst)


def reason() -> str:
    position = Position.objects.first()
    return position.reason if position else ""


def test_a_channel_that_does_not_exist_stops_the_listener_with_salesforces_reason(
    transactional_db, processes, peer
):
    channel = "/data/Nothing__ChangeEvent"
    sample_data.listener_of(peer, channel=channel)

    listener = processes.listener()

    assert listener.wait() == 3, listener.output
    position = Position.objects.get()
    refusal = f"The channel you requested to subscribe to doesn't exist {{{channel}}}"
    assert position.state == Position.State.FAILED
    assert refusal in position.reason
    assert refusal in listener.output
    assert len(peer.log()["subscribes"]) == 1


def test_a_channel_of_one_entity_brings_that_entity_alone(transactional_db, processes, peer):
    sample_data.listener_of(peer, channel="/data/Employee__ChangeEvent")
    employees = creations(2, "Employee__c")
    peer.publish(*creations(2), *employees, *creations(2, "Contact"))

    listener = processes.listener("--max-events", str(len(employees)))

    assert listener.wait() == 0, listener.output
    wait_until_recorded(len(employees))
    assert_recorded_once(employees)
