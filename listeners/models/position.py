"""The models of a listener's position and lease, and of the processes that run listeners."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from listeners.leases import PRESENCE, PositionQuerySet
from listeners.models.listener import Listener


class Position(models.Model):
    """The position of a listener in its channel, and the lease of the process that runs it.

    replay_id        where the next subscription begins
    newest_id        the id of the last recorded event, if replay_id stays before it because events
                     share ids (consumer.ingest.shared_ids); otherwise empty
    newest_batches   how many batches in a row ended with the newest id; kept when a new session,
                     to which its events come again, clears that id
    replay_id_at     when the event of replay_id was committed, if it stays before the last one
    named_at         when Salesforce last reported, without an event, that nothing follows replay_id
    last_event_at    when the last recorded change was committed in Salesforce
    caught_up_at     when Salesforce last had no more events and all received ones were recorded
    tip_since        of a position without an event: when the listener subscribed at the tip, or
                     when its last position was lost and it was to continue at the earliest event
    position_token   a text that changes with each recording; not a column

    The epoch grows with every change of holder. Each ingest transaction checks it, so that a former
    holder that was paused or disconnected can no longer write.
    """

    class State(models.TextChoices):
        CONNECTING = "connecting", "Connecting"
        RECEIVING = "receiving", "Receiving"
        STOPPED = "stopped", "Stopped"
        FAILED = "failed", "Failed"

    listener = models.OneToOneField(
        Listener, models.CASCADE, related_name="position", primary_key=True
    )
    replay_id = models.CharField(
        max_length=255,
        blank=True,
        help_text="Where the next subscription continues: a replay id, opaque.",
    )
    newest_id = models.CharField(max_length=255, blank=True)
    newest_batches = models.PositiveIntegerField(default=0)
    replay_id_at = models.DateTimeField(null=True, blank=True)
    # Events of a standard channel were seen to share replay ids.
    shares_ids = models.BooleanField(default=False)
    # The position's age counts from then, unless an event was recorded later.
    named_at = models.DateTimeField(null=True, blank=True)
    # The org and channel of the position; a replay id is not valid in another one.
    org_id = models.CharField(max_length=18, blank=True)
    channel = models.CharField(max_length=255, blank=True)
    # The managed subscription that keeps a position of ours: Salesforce accepted a commit, and has
    # not said since that it was deleted. Without one, a next session begins anywhere.
    subscription = models.CharField(max_length=100, blank=True)
    tip_since = models.DateTimeField(null=True, blank=True)
    holder = models.CharField(max_length=200, blank=True)
    epoch = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    state = models.CharField(max_length=20, choices=State, default=State.STOPPED)
    reason = models.TextField(blank=True)
    state_since = models.DateTimeField(null=True, blank=True)
    failed_fingerprint = models.CharField(max_length=64, blank=True)
    last_received_at = models.DateTimeField(
        null=True, blank=True, help_text="When Salesforce last answered, with or without events."
    )
    # Changes committed until shortly before then are in the audit log.
    caught_up_at = models.DateTimeField(null=True, blank=True)
    # Since when received changes cannot be recorded; None while recording works.
    unrecorded_since = models.DateTimeField(null=True, blank=True)
    last_event_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When the last recorded change was committed in Salesforce.",
    )

    # The lane of each mapping's deliveries, by mapping (handlers.ordering.rechain). Mappings that
    # have left their lane are kept as long as it has deliveries for their former handler.
    lanes = models.JSONField(default=dict, blank=True)
    # The deliveries that have not followed an edit of the mappings yet, empty if all have
    # (handlers.ordering.rechain).
    moving = models.JSONField(default=dict, blank=True)

    #: The fields of a position that is not held back.
    NOT_HELD_BACK: ClassVar = {"newest_id": "", "newest_batches": 0}

    objects = PositionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(epoch__gte=0), name="position_epoch_not_negative"),
        ]

    @property
    def position_token(self) -> str:
        """A text that tells whether the position is where a recording left it.

        It changes with each recording, also where `replay_id` stays: then it is the newest id, and
        how many batches ended with it.
        """
        return f"{self.newest_id}#{self.newest_batches}" if self.newest_id else self.replay_id

    @property
    def has_begun(self) -> bool:
        """Whether the listener has begun at the tip, recorded a change or caught up: a restart
        must not miss what came since."""
        return bool(self.replay_id or self.newest_batches or self.tip_since or self.caught_up_at)

    def belongs_to(self, org_id: str | None, channel: str) -> bool:
        """Return whether the replay id is valid in the org and channel.

        An unknown org, and a position without an org or channel, count as matching.
        """
        same_org = not org_id or not self.org_id or org_id[:15] == self.org_id[:15]
        return same_org and self.channel in ("", channel)

    def __str__(self) -> str:
        return f"{self.listener} at {self.replay_id or 'no event yet'}"


class ListenerProcessQuerySet(models.QuerySet[Any]):
    def beat(
        self, holder: str, names: Sequence[str], passes_over: Iterable[int], started_at: datetime
    ) -> None:
        process = self.model(
            holder=holder,
            names=list(names),
            passes_over=sorted(passes_over),
            started_at=started_at,
            seen_until=Now() + PRESENCE,
        )
        self.bulk_create(
            [process],
            update_conflicts=True,
            unique_fields=["holder"],
            update_fields=["names", "passes_over", "seen_until"],
        )

    def with_gone(self) -> ListenerProcessQuerySet:
        """Annotate processes with `gone`: whether they are without a recent heartbeat."""
        annotated: ListenerProcessQuerySet = self.annotate(gone=Q(seen_until__lt=Now()))
        return annotated

    def present(self) -> list[ListenerProcess]:
        """Return the running processes, and delete the rows of those without a recent heartbeat."""
        found = list(self.with_gone())
        if any(process.gone for process in found):
            self.filter(seen_until__lt=Now()).delete()
        return [process for process in found if not process.gone]

    def leave(self, holder: str) -> None:
        """Remove a process that is shutting down."""
        self.filter(holder=holder).delete()


class ListenerProcess(models.Model):
    """A running `run_cdc_listener` process, as long as its heartbeats are recent."""

    holder = models.CharField(max_length=200, primary_key=True)
    names = models.JSONField(
        default=list, help_text="The listeners that it was started for; empty: all listeners."
    )
    passes_over = models.JSONField(
        default=list, help_text="Ids of listeners that it cannot run with their configuration."
    )
    started_at = models.DateTimeField()
    seen_until = models.DateTimeField(
        help_text="When the last heartbeat expires, on the database's clock."
    )

    objects = ListenerProcessQuerySet.as_manager()

    def __str__(self) -> str:
        return self.holder
