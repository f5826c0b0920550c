"""Where a listener stands, and who runs it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from listeners.leases import PositionQuerySet
from listeners.models.listener import Listener


class Position(models.Model):
    """Where a listener stands, and which process runs it: the lease, with its epoch.

    The epoch grows with every change of holder; each ingest transaction checks it, so that a
    holder that was paused or cut off cannot write any more.
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
        max_length=255, blank=True, help_text="The last event that is recorded; opaque."
    )
    # Salesforce said then, without an event, that nothing more is up to the replay id: its age
    # counts from there. Older than what came after.
    named_at = models.DateTimeField(null=True, blank=True)
    # Org and channel that the position belongs to; of another one it says nothing.
    org_id = models.CharField(max_length=18, blank=True)
    channel = models.CharField(max_length=255, blank=True)
    # The managed subscription that was told of the position.
    subscription = models.CharField(max_length=100, blank=True)
    # Subscribed at tip, and nothing received since: what was committed after this is still due.
    tip_since = models.DateTimeField(null=True, blank=True)
    holder = models.CharField(max_length=200, blank=True)
    epoch = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    state = models.CharField(max_length=20, choices=State, default=State.STOPPED)
    reason = models.TextField(blank=True)
    state_since = models.DateTimeField(null=True, blank=True)
    failed_fingerprint = models.CharField(max_length=64, blank=True)
    last_received_at = models.DateTimeField(
        null=True, blank=True, help_text="When Salesforce last answered, with events or without."
    )
    # An answer brought nothing more, and all before it was recorded: what was committed until
    # shortly before that is in the audit log.
    caught_up_at = models.DateTimeField(null=True, blank=True)
    # Since when nothing of what was received could be committed; None while recording works.
    unrecorded_since = models.DateTimeField(null=True, blank=True)
    last_event_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When the last recorded change was committed in Salesforce.",
    )

    # By mapping, the lane that its waiting deliveries are in (handlers.ordering.rechain).
    lanes = models.JSONField(default=dict, blank=True)

    objects = PositionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(epoch__gte=0), name="position_epoch_not_negative"),
        ]

    def belongs_to(self, org_id: str | None, channel: str) -> bool:
        """Whether its replay id means something there. A position that has none yet, and
        an org that a login does not name, are taken for the same."""
        same_org = not org_id or not self.org_id or org_id[:15] == self.org_id[:15]
        return same_org and self.channel in ("", channel)

    def __str__(self) -> str:
        return f"{self.listener} at {self.replay_id or 'no event yet'}"
