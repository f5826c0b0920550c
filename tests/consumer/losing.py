"""An org's listener that loses its position, and comparisons that run in the test's process."""

import itertools
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import AuditLogEntry, Reconciliation
from consumer.reconciliation import job as reconciliation_job
from consumer.stream import replay_lost
from listeners.models import Listener
from listeners.salesforce.errors import ReplayLost, TransportFailed
from tests.consumer.hearing import begin_now
from tests.sample_data import lease_of, listener_of
from tests.settings_on_the_wire.stored import stream_of

_numbers = itertools.count(1)


class Entity:
    """An entity of its own in an org that several tests share, with a disabled listener."""

    def __init__(self, org, **fields) -> None:
        self.org = org
        self.name = f"Thing{secrets.token_hex(3)}{next(_numbers)}__c"
        org.entity(self.name)
        channel = f"/data/{self.name.removesuffix('c')}ChangeEvent"
        self.listener = listener_of(org, channel=channel, enabled=False, **fields)
        self.begin()

    def begin(self) -> None:
        """Set the position as if all events so far had been received."""
        begin_now(self.org, self.listener)

    def create(self, *records, **fields) -> list[str]:
        return self.org.create(self.name, *records, **fields)

    def update(self, record_ids, **fields):
        return self.org.update(self.name, record_ids, **fields)

    def delete(self, record_ids):
        return self.org.delete(self.name, record_ids)

    def undelete(self, record_ids):
        return self.org.undelete(self.name, record_ids)

    def lose(self) -> Reconciliation:
        """Age out all events, so that the position is lost, and return the planned comparison."""
        self.org.fault("age_out")
        with stream_of(self.listener) as stream, pytest.raises(ReplayLost) as lost:
            stream.open("1")
        lease = lease_of(self.listener)
        replay_lost.record(self.listener, lease, lost.value, timezone.now())
        return self.listener.reconciliations.latest("id")

    def entries(self, **fields) -> list[AuditLogEntry]:
        found = AuditLogEntry.objects.filter(listener=self.listener, **fields)
        return list(found.order_by("id"))

    def added(self) -> list[tuple[str, str]]:
        """Return the change types and records of the entries that comparisons recorded."""
        return [(one.change_type, one.record_id) for one in self.entries(source="reconcile")]


def on_channel(made, *names, **fields) -> None:
    """Move the listener to a custom channel of these entities."""
    listener = made.listener
    listener.channel = made.org.channel(f"{made.name.removesuffix('__c')}__chn", *names, **fields)
    listener.save()


def unanswered(*_) -> None:
    """Stand in for a step of a comparison, in which Salesforce does not answer."""
    raise TransportFailed("HTTP 503")


@contextmanager
def unseen_setup(org) -> Iterator[None]:
    """Take the user's permission to see which entities a channel carries, and give it back."""
    org.access(view_setup=False)
    try:
        yield
    finally:
        org.access(view_setup=True)


def run(job: Reconciliation) -> Reconciliation:
    """Run the job to its end, as a worker does."""
    reconciliation_job.run(job.pk)
    job.refresh_from_db()
    assert job.state == "done", (job.state, job.error)
    return job


def asked(listener: Listener, since, **fields) -> Reconciliation:
    now = timezone.now()
    return Reconciliation.objects.create(
        **{
            "listener": listener,
            "reason": "asked",
            "window_start": since,
            "window_end": now + timedelta(minutes=1),  # tests move the org's clock ahead
            "due_at": now,
            "created_at": now,
            **fields,
        }
    )
