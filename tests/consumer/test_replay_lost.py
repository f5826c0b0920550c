"""A refused position opens an incident with the window that may lack changes, and the policy
decides the next position."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import Incident, Reconciliation
from consumer.reconciliation import schedule
from consumer.stream import replay_lost
from consumer.stream.start_position import beginning_of
from listeners.leases import LeaseLost
from listeners.models import Position
from listeners.salesforce.errors import ReplayLost
from listeners.salesforce.replay_ids import for_cometd
from tests.sample_data import lease_of, make_listener

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
LOST = ReplayLost("/meta/subscribe", "400::The replayId {7} …")


def lose(listener, **position) -> Incident:
    lease = lease_of(listener)
    Position.objects.filter(listener=listener).update(replay_id="7", **position)
    replay_lost.record(listener, lease, LOST, timezone.now())
    return Incident.objects.get(listener=listener)


@pytest.mark.parametrize(
    "known",
    [
        {"last_event_at": NOON},
        {"caught_up_at": NOON},
        {"named_at": NOON},
        {"tip_since": NOON},
        {"last_event_at": NOON - timedelta(days=9), "caught_up_at": NOON},
        {"last_event_at": NOON, "caught_up_at": NOON - timedelta(days=9)},
        # Received is not recorded: this answer's changes may have been lost with its process.
        {"last_event_at": NOON, "last_received_at": NOON + timedelta(hours=3)},
    ],
)
def test_the_window_begins_where_everything_before_is_surely_recorded(listener, known):
    incident = lose(listener, **known)

    job = Reconciliation.objects.get()
    assert incident.window_start == job.window_start == NOON - schedule.MARGIN
    assert job.window_end == incident.window_end
    assert (job.incident, job.reason, job.state) == (incident, "replay_lost", "waiting")


def test_one_that_is_away_again_before_any_event_followed_loses_its_position_again(listener):
    """It continues at the earliest event, which Salesforce never refuses."""
    lost_at = timezone.now()
    lose(listener, last_event_at=NOON)
    position = Position.objects.get()
    assert beginning_of(listener, position, "", lost_at + timedelta(hours=71)).replay == "-2"

    later = lost_at + timedelta(hours=80)
    with pytest.raises(ReplayLost, match="over 72 hours") as lost:
        beginning_of(listener, position, "", later)
    Incident.objects.update(closed_at=lost_at)  # the first window was compared meanwhile
    Reconciliation.objects.update(state=Reconciliation.State.DONE)
    replay_lost.record(listener, lease_of(listener), lost.value, later)

    window = Incident.objects.latest("id")
    assert lost_at - timedelta(minutes=3) < window.window_start <= position.tip_since
    assert window.window_end == later
    assert beginning_of(listener, Position.objects.get(), "", later).replay == "-2"


def test_the_last_loss_proves_nothing_once_an_event_followed(listener):
    lease = lease_of(listener)
    Position.objects.update(replay_id="8", tip_since=NOON, last_event_at=NOON - timedelta(days=2))

    replay_lost.record(listener, lease, LOST, timezone.now())

    window = Incident.objects.get()
    assert window.window_start == NOON - timedelta(days=2) - schedule.MARGIN


def test_a_listener_that_never_recorded_a_change_is_compared_since_it_exists(listener):
    assert lose(listener).window_start == listener.created_at


def test_one_that_was_to_begin_at_a_replay_id_is_compared_as_far_back_as_that_may_be(db):
    listener = make_listener(replay_from="4711")

    assert lose(listener).window_start == listener.created_at - timedelta(hours=72)


@pytest.mark.parametrize(
    ("policy", "position", "next_step", "says"),
    [
        ("earliest", "-2", "with the earliest event", "when the listener has caught up"),
        ("tip", "-1", "with new events only", "when the listener has caught up"),
        ("stop", "7", "has stopped", "while the listener is stopped"),
    ],
)
def test_each_policy_is_followed_and_the_window_is_compared(db, policy, position, next_step, says):
    listener = make_listener(on_replay_lost=policy)

    incident = lose(listener, tip_since=NOON)

    assert Position.objects.get().replay_id == position
    assert next_step in incident.summary
    assert says in incident.action
    assert ("Restart the listener" in incident.remedy) == (policy == "stop")
    assert Reconciliation.objects.count() == 1


def test_it_says_why_the_position_cannot_be_resumed(listener):
    with pytest.raises(ReplayLost) as lost:
        for_cometd("0x0123456789")
    lease = lease_of(listener)
    Position.objects.update(replay_id="0x0123456789", last_event_at=NOON)

    replay_lost.record(listener, lease, lost.value, timezone.now())

    incident = Incident.objects.get()
    assert "The position 0x0123456789 cannot be resumed" in incident.summary
    assert "the Pub/Sub replay id 0x0123456789 has no CometD form" in incident.remedy


def test_a_stopped_listener_with_a_managed_subscription_says_that_it_stopped(db):
    listener = make_listener(transport="pubsub", managed_subscription="Crm", on_replay_lost="stop")

    assert "The listener has stopped" in lose(listener, tip_since=NOON).summary


@pytest.mark.parametrize(("policy", "position"), [("earliest", "-2"), ("tip", "-1")])
def test_where_a_managed_subscription_begins_is_not_the_policys_to_say(db, policy, position):
    listener = make_listener(transport="pubsub", managed_subscription="Crm", on_replay_lost=policy)

    incident = lose(listener, tip_since=NOON, subscription="Other")

    assert "continues where the managed subscription Crm begins" in incident.summary
    stands = Position.objects.get()
    # Salesforce has accepted no commit of it yet.
    assert (stands.replay_id, stands.subscription) == (position, "")
    assert Reconciliation.objects.count() == 1


def test_without_the_lease_nothing_is_written(listener):
    lease = lease_of(listener)
    Position.objects.update(lease_until="2020-01-01T00:00Z")
    assert lease_of(listener, "another process")

    with pytest.raises(LeaseLost):
        replay_lost.record(listener, lease, LOST, timezone.now())

    assert not Incident.objects.exists()
    assert not Reconciliation.objects.exists()


def test_other_listeners_and_their_incidents_stay_as_they_are(make_listener):
    bystander, unlucky = make_listener(), make_listener()
    untouched = lose_of(bystander)
    Incident.objects.filter(pk=untouched.pk).update(action="none")
    Position.objects.filter(listener=bystander).update(replay_id="3")

    lose_of(unlucky)

    assert Position.objects.get(listener=bystander).replay_id == "3"
    assert Incident.objects.get(pk=untouched.pk).action == "none"


def lose_of(listener) -> Incident:
    """Lose the listener's position, beside other listeners, and return its incident."""
    replay_lost.record(listener, lease_of(listener, "one"), LOST, timezone.now())
    return Incident.objects.get(listener=listener)


def test_it_locks_the_position_until_its_commit(listener):
    """A process that takes over the listener must not read the position before it is set."""
    lease = lease_of(listener)
    with CaptureQueriesContext(connection) as queries:
        replay_lost.record(listener, lease, LOST, timezone.now())

    if connection.features.has_select_for_update:
        assert any(" FOR " in one["sql"] and "listeners_position" in one["sql"] for one in queries)


def test_it_is_refused_inside_a_transaction(listener):
    lease = lease_of(listener)

    with transaction.atomic(), pytest.raises(RuntimeError, match="durable atomic block"):
        replay_lost.record(listener, lease, LOST, timezone.now())
