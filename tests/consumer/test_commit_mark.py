"""The mark of a managed position is set once Salesforce accepts a commit, and cleared by a loss."""

import pytest
from django.db import OperationalError
from django.utils import timezone

from consumer.host.runtime import HostedListener
from consumer.stream import replay_lost
from consumer.stream.buffer import Buffer
from consumer.stream.commit_mark import CommitMark
from consumer.stream.publisher import Publisher
from consumer.stream.recorder import Recorder
from listeners.leases import Lease
from listeners.models import Position
from listeners.salesforce.errors import PositionDeleted, Reaction, ReplayLost
from tests.consumer.managed_sessions import stands
from tests.listeners.salesforce.pubsub.streams import NumberedTokens
from tests.sample_data import change, lease_of, received

pytestmark = pytest.mark.django_db(transaction=True)


class Stream:
    has_committed = True

    def recorded(self, replay_id: str) -> None: ...


def test_a_deletion_that_the_database_did_not_take_is_stored_later(listener, monkeypatch):
    mark = CommitMark(lease_of(listener), Stream(), "Crm")
    mark.sync()
    assert stands(listener).subscription == "Crm"

    def away(lease: Lease):
        raise OperationalError("away")

    with monkeypatch.context() as patched:
        patched.setattr(Position.objects, "held", away)
        with pytest.raises(OperationalError), mark.watched():
            raise PositionDeleted("ManagedSubscribe", "stopped", Reaction.BACK_OFF_LONG)
    assert stands(listener).subscription == "Crm"

    mark.sync()
    assert stands(listener).subscription == ""
    mark.opened()
    mark.sync()
    assert stands(listener).subscription == "Crm"


def test_a_loss_that_the_database_did_not_take_while_a_session_opened_is_stored_later(
    listener, monkeypatch
):
    mark = CommitMark(lease_of(listener), Stream(), "Crm")
    mark.sync()

    def away(lease: Lease):
        raise OperationalError("away")

    with monkeypatch.context() as patched:
        patched.setattr(Position.objects, "held", away)
        with pytest.raises(OperationalError):
            mark.clear()  # as the recording thread does
    mark.opened()
    mark.sync()

    assert stands(listener).subscription == ""


def test_the_next_session_sets_the_mark_again_after_a_loss_was_recorded(listener):
    lease = lease_of(listener)
    mark = CommitMark(lease, Stream(), "Crm")
    mark.sync()

    replay_lost.record(listener, lease, ReplayLost("ManagedSubscribe", "refused"), timezone.now())
    assert stands(listener).subscription == ""
    mark.opened()
    mark.sync()

    assert stands(listener).subscription == "Crm"


def test_without_the_lease_the_mark_stays_as_it_is(listener):
    lease = lease_of(listener)
    Position.objects.update(lease_until="2020-01-01T00:00Z", subscription="Crm")
    assert lease_of(listener, "another process")

    CommitMark(lease, Stream(), "Crm").clear()

    assert stands(listener).subscription == "Crm"


@pytest.fixture
def rolled_back(listener) -> Lease:
    """Returns a lease from before which the database has a position that Salesforce is ahead of."""
    lease_of(listener, "earlier")
    Position.objects.update(subscription="Crm", holder="", lease_until=None)
    older = {name: getattr(stands(listener), name) for name in ("epoch", "holder", "lease_until")}
    lease = lease_of(listener)
    Position.objects.update(**older)
    return lease


def test_a_recorder_clears_the_mark_when_the_database_has_lost_its_lease(listener, rolled_back):
    buffer = Buffer(10)
    buffer.begin("")
    buffer.put(received(change()))
    mark = CommitMark(rolled_back, Stream(), "Crm")
    recorder = Recorder(listener, rolled_back, buffer, Publisher(), on_commits_lost=mark.clear)

    recorder.thread.run()

    assert stands(listener).subscription == ""


@pytest.mark.parametrize("noticed", ["note_lease_lost", "release"])
def test_an_idle_listener_clears_the_mark_when_the_database_has_lost_its_lease(
    listener, rolled_back, noticed
):
    hosted = HostedListener(listener, rolled_back, NumberedTokens(), Stream(), Publisher())

    getattr(hosted, noticed)()

    assert stands(listener).subscription == ""


def test_a_lost_lease_leaves_the_mark_to_the_process_that_has_taken_over(listener, rolled_back):
    for _ in range(2):
        Position.objects.update(holder="", lease_until=None)
        lease_of(listener, "another process")

    CommitMark(rolled_back, Stream(), "Crm").clear()

    assert stands(listener).subscription == "Crm"
