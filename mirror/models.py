"""A mirror, its runs, the records to read again, and the differences that verification found."""

from __future__ import annotations

from typing import Any

from django.db import models

from listeners.models import Listener


class Mirror(models.Model):
    """A local copy of the records of one Salesforce object, kept in step by a listener.

    new → loading → catching_up → in_sync. `problem` says what needs an operator's attention; a
    mirror that has one is shown in the state `attention`.
    """

    class Phase(models.TextChoices):
        NEW = "new", "New"
        LOADING = "loading", "Loading"
        CATCHING_UP = "catching_up", "Catching up"
        IN_SYNC = "in_sync", "In sync"

    class Deletes(models.TextChoices):
        SOFT = "soft", "Keep the row, marked as deleted"
        HARD = "hard", "Remove the row once no older change can arrive"

    class Verify(models.TextChoices):
        NEVER = "never", "On demand only"
        HOURLY = "hourly", "Every hour"
        DAILY = "daily", "Every day"
        WEEKLY = "weekly", "Every week"

    model = models.CharField(
        max_length=255, help_text="The model's label, such as crm.Account.", unique=True
    )
    salesforce_object = models.CharField("object", max_length=255, editable=False)
    listener = models.ForeignKey(Listener, models.PROTECT, related_name="mirrors")
    database = models.CharField(
        max_length=100,
        default="default",
        help_text="The alias of the database that has the model's table: default, or the "
        "lower-case end of a variable's name, such as shop of DATABASE_URL_SHOP.",
    )
    deletes = models.CharField(max_length=10, choices=Deletes, default=Deletes.SOFT)
    verify = models.CharField(max_length=10, choices=Verify, default=Verify.DAILY)
    phase = models.CharField(max_length=20, choices=Phase, default=Phase.NEW, editable=False)
    problem = models.TextField(blank=True, editable=False)
    created_at = models.DateTimeField(editable=False)
    # The object's fields when the model was last compared with the org: API name → describe type.
    described = models.JSONField(default=dict, blank=True, editable=False)
    described_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Fields whose description changed and whose values are still to be compared in every row:
    # API name → {"was": type or null, "is": type or null, "at": time}.
    field_changes = models.JSONField(default=dict, blank=True, editable=False)
    # Audit log entries up to this id were searched for gaps, overflows and wildcards.
    scanned_entry_id = models.BigIntegerField(default=0, editable=False)
    # Deletions of possible parents up to these entries were searched for merges: listener → id.
    merges_searched = models.JSONField(default=dict, blank=True, editable=False)
    # Until when a worker reads dirty records and searches for gaps (mirror.apply.upkeep).
    upkeep_until = models.DateTimeField(null=True, blank=True, editable=False)
    # When the stream was shown to be live after the mirror's creation, and the first load began.
    load_started_at = models.DateTimeField(null=True, blank=True, editable=False)
    # When the rows last became complete: loaded, swept and caught up.
    in_sync_since = models.DateTimeField(null=True, blank=True, editable=False)
    last_verified_at = models.DateTimeField(null=True, blank=True, editable=False)
    formulas_refreshed_at = models.DateTimeField(null=True, blank=True, editable=False)
    # The last counts, and when they were taken. Null: not counted yet.
    rows = models.BigIntegerField(null=True, blank=True, editable=False)
    rows_in_salesforce = models.BigIntegerField(null=True, blank=True, editable=False)
    counted_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects: Any = models.Manager()

    class Meta:
        ordering = ["model"]
        constraints = [
            models.UniqueConstraint(
                fields=["listener", "salesforce_object"],
                name="mirror_object_once_a_listener",
                violation_error_message="This listener already has a mirror of that object.",
            ),
        ]

    def __str__(self) -> str:
        return self.model


class MirrorRun(models.Model):
    """A background job of a mirror, claimed by one worker at a time (`audit.jobs.claim`)."""

    class Kind(models.TextChoices):
        LOAD = "load", "Load"
        SWEEP = "sweep", "Sweep of recent changes"
        VERIFY = "verify", "Verification"
        REPAIR = "repair", "Repair"
        FORMULAS = "formulas", "Refresh of formula fields"

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    UNENDED = (State.WAITING, State.RUNNING)

    mirror = models.ForeignKey(Mirror, models.CASCADE, related_name="runs")
    kind = models.CharField(max_length=10, choices=Kind)
    requested_by = models.CharField(max_length=150, blank=True)
    # What the run was asked to do, such as {"depth": "full"} of a verification.
    options = models.JSONField(default=dict, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    # The progress that a resumed run continues from, such as the Bulk API job and its locator.
    cursor = models.JSONField(default=dict, blank=True)
    total = models.PositiveBigIntegerField(null=True, blank=True, help_text="Rows to process.")
    done = models.PositiveBigIntegerField(default=0, help_text="Rows processed.")
    # The result: counts by name. `is_right` says whether the run proved what it was to prove.
    report = models.JSONField(default=dict, blank=True)
    is_right = models.BooleanField(null=True, blank=True)
    # The number of consecutive claims without progress.
    tries = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    # Why the run does not continue now, such as "the stream"; empty while it runs.
    waits_for = models.TextField(blank=True)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField(null=True, blank=True)
    claimed_until = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects: Any = models.Manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["mirror", "kind"],
                condition=models.Q(state__in=["waiting", "running"]),
                name="mirror_run_once_a_kind",
            ),
        ]
        indexes = [
            # start_due_jobs.
            models.Index(
                fields=["due_at"],
                condition=models.Q(state__in=["waiting", "running"]),
                name="mirror_run_due",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.title} of {self.mirror}"

    @property
    def title(self) -> str:
        """Return what the run does, such as "Verification"."""
        if self.kind == self.Kind.FORMULAS and self.options.get("schema_only"):
            return "Check of the object's fields"
        return str(self.get_kind_display())

    @property
    def is_over(self) -> bool:
        return self.state not in self.UNENDED


class DirtyRow(models.Model):
    """A record whose row cannot be decided from events, and is to be read from Salesforce.

    Events leave the row alone until the record was read after `since`.
    """

    class Reason(models.TextChoices):
        PARTIAL = "partial", "An update came before the record was loaded"
        SAME_SECOND = "same_second", "Changed in the second in which it was read"
        NO_VERSION = "no_version", "The event has no LastModifiedDate"
        GAP = "gap", "Gap event"
        DIFF = "diff", "The event has only the difference of a long text"
        FIELD = "field", "The event does not tell all values of the row"
        PERSON = "person", "The update of a person account may lack values of its contact"
        SUPERSEDED = "superseded", "Redelivered after later changes"
        MERGE = "merge", "A merge may have moved it to another parent"
        DIFFERENCE = "difference", "Verification found a difference"
        FAILED = "failed", "Its change could not be applied"

    mirror = models.ForeignKey(Mirror, models.CASCADE, related_name="dirty_rows")
    record_id = models.CharField(max_length=18)
    # Milliseconds since 1970, Salesforce's clock: a read that began later includes what is unknown.
    since = models.BigIntegerField()
    # The same clock: the row has every change that was committed before. Later marks move `since`
    # forward, and this time never.
    complete_until = models.BigIntegerField()
    reason = models.CharField(max_length=20, choices=Reason)
    attempts = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    due_at = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True, blank=True)

    objects: Any = models.Manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["mirror", "record_id"], name="mirror_dirty_once"),
        ]
        indexes = [models.Index(fields=["mirror", "due_at"], name="mirror_dirty_due")]

    def __str__(self) -> str:
        return f"{self.mirror} {self.record_id}"


class Difference(models.Model):
    """A value that differed between the mirror and Salesforce, and what repaired it."""

    class Reason(models.TextChoices):
        MISSING_ROW = "missing_row", "The record is in Salesforce only"
        HARD_DELETED = "hard_deleted", "The record was hard-deleted in Salesforce"
        NOT_DELETED = "not_deleted", "The row is marked as deleted, the record exists"
        FORMULA = "formula", "A formula changed without an event"
        NEW_FIELD = "new_field", "The field was added or made visible after the row was read"
        CONVERTED = "converted", "The field's type was changed without an event"
        LATE_EVENT = "late_event", "Its event arrived after the verification"
        UNEXPLAINED = "unexplained", "Unexplained"

    mirror = models.ForeignKey(Mirror, models.CASCADE, related_name="differences")
    run = models.ForeignKey(MirrorRun, models.CASCADE, related_name="differences")
    record_id = models.CharField(max_length=18)
    # The API name of the field. Empty: the whole row.
    field = models.CharField(max_length=255, blank=True)
    here = models.JSONField(null=True, blank=True)
    there = models.JSONField(null=True, blank=True)
    reason = models.CharField(max_length=20, choices=Reason)
    found_at = models.DateTimeField()
    repaired_at = models.DateTimeField(null=True, blank=True)
    repaired_by = models.CharField(max_length=100, blank=True)

    objects: Any = models.Manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["mirror"],
                condition=models.Q(repaired_at__isnull=True),
                name="mirror_difference_open",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.mirror} {self.record_id} {self.field}".strip()
