"""The mark of a managed position is set once Salesforce accepts a commit, and cleared by a loss."""

import pytest
from django.db import OperationalError
from django.utils import timezone

from consumer.stream import replay_lost
from consumer.stream.commit_mark import CommitMark
from listeners.leases import Lease
from listeners.models import Position
from listeners.salesforce.errors import PositionDeleted, Reaction, ReplayLost
from tests.consumer.managed_sessions import stands
from tests.sample_data import lease_of

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
