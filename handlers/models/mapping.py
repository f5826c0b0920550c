"""The handler mapping: which changes a handler gets."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q

from handlers.models.destination import Destination
from handlers.models.mapping_queryset import MappingManager, MappingQuerySet
from handlers.models.task_rules import option_flaws, setting_flaws
from handlers.rules.conditions import EXAMPLE, flaws
from handlers.rules.ignored_authors import origin_flaws, user_flaws
from listeners.models import Listener
from listeners.secrets.encrypted_field import REFERENCES
from listeners.values import storable

#: The built-in handler of mirrors. Its mappings are managed: a mirror has four of them.
MIRROR_HANDLER = "mirror.apply"

#: Seconds.
SHORTEST_REPORT_TIMEOUT, LONGEST_REPORT_TIMEOUT = 10, 30 * 86_400

_word = RegexValidator(r"^[\w.-]*$", "Use letters, digits, dots, hyphens and underscores.")
# RabbitMQ takes names of up to 255 bytes.
_queue_name = RegexValidator(
    r"^[A-Za-z0-9_.-]*$", "Use ASCII letters, digits, dots, hyphens and underscores."
)


def _json(default: type[list[Any]] | type[dict[str, Any]], help_text: str) -> models.JSONField:
    return models.JSONField(validators=[storable], default=default, blank=True, help_text=help_text)


class HandlerMapping(models.Model):
    """A kind of change, and the handler or Celery task that gets it."""

    class On(models.TextChoices):
        CREATE = "create", "onCreate"
        UPDATE = "update", "onUpdate"
        DELETE = "delete", "onDelete"
        RESTORE = "restore", "onRestore"

    class Ordering(models.TextChoices):
        PER_RECORD = "per_record", "In order for each record"
        UNORDERED = "unordered", "In any order"

    class OnDead(models.TextChoices):
        CONTINUE = "continue", "Continue with the record's next change"
        HALT = "halt", "Block the record's next changes"

    class After(models.TextChoices):
        RECORDING = "", "Once the change is recorded"
        MIRROR = "mirror", "Once the record's mirror has applied the change"

    class OnUnknown(models.TextChoices):
        RETRY = "retry", "Send the task again"
        DEAD = "dead", "End as a dead letter"

    listener = models.ForeignKey(Listener, models.CASCADE, related_name="mappings")
    name = models.CharField(
        max_length=100,
        blank=True,
        default="",
        validators=[_word],
        help_text="Optional. Identifies the mapping in configuration files when other fields "
        "change.",
    )
    on = models.CharField(max_length=10, choices=On)
    entity = models.CharField(
        max_length=255, default="*", help_text="An entity such as Account, or * for all of them."
    )
    handler = models.CharField(
        max_length=255,
        blank=True,
        help_text="A registered handler. Empty: changes are recorded only.",
    )
    task = models.CharField(
        max_length=255,
        blank=True,
        help_text="In place of a handler: the name of a Celery task of another project.",
    )
    destination = models.ForeignKey(
        Destination,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="mappings",
        help_text="The broker to which the task is sent. Empty: the broker of this project.",
    )
    track = models.BooleanField(
        "track the task's end",
        default=True,
        help_text="Tasks only: wait until the task's worker reports its end. Without it, the "
        "delivery ends as sent.",
    )
    report_timeout = models.PositiveIntegerField(
        default=3600,
        validators=[
            MinValueValidator(SHORTEST_REPORT_TIMEOUT),
            MaxValueValidator(LONGEST_REPORT_TIMEOUT),
        ],
        help_text="Tracked tasks only: seconds from sending the task until its outcome counts as "
        "unknown. Allow for the time in the queue and for the task's own retries.",
    )
    on_unknown = models.CharField(
        "after an unknown outcome",
        max_length=10,
        choices=OnUnknown,
        default=OnUnknown.RETRY,
        help_text="Tracked tasks only: what happens if no worker reports the task's end in time.",
    )
    changed_fields = _json(
        list,
        'Updates only: deliver when one of these fields changed, such as ["Phone"]. '
        "Empty: any field.",
    )
    condition = _json(
        dict, f"Deliver only changes whose values match, such as {EXAMPLE}. Empty: all changes."
    )
    ignore_origins = _json(
        list,
        'Skip changes made by these API clients, such as ["my-app"], or by whole change '
        "origins, with * for any text.",
    )
    ignore_users = _json(list, "Skip changes made by these Salesforce users, by user id.")
    ordering = models.CharField(max_length=20, choices=Ordering, default=Ordering.PER_RECORD)
    on_dead = models.CharField(
        "after a dead letter",
        max_length=10,
        choices=OnDead,
        default=OnDead.CONTINUE,
        help_text="What happens to the next changes of a record after a dead letter.",
    )
    queue = models.CharField(
        max_length=100,
        blank=True,
        validators=[_queue_name],
        help_text="Celery queue. Empty: the queue of the handler, or the default.",
    )
    max_attempts = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Empty: the limit of the handler, or the default.",
    )
    options = _json(
        dict,
        "Options of the handler, or of the task's message (arguments, args, kwargs, headers, "
        "priority, expires, large_payload, max_bytes), as a JSON object.",
    )
    after = models.CharField(
        max_length=10,
        choices=After,
        default=After.RECORDING,
        blank=True,
        help_text="When the handler runs. After the mirror, event.record is the mirrored row.",
    )
    # Belongs to a mirror, which creates and deletes it; not to be edited.
    managed = models.BooleanField(default=False, editable=False)
    # Not settings: only `handlers.mappings.pause` writes these, for an operator.
    paused_at = models.DateTimeField(null=True, blank=True, editable=False)
    paused_by = models.CharField(max_length=150, blank=True, editable=False)
    pause_reason = models.TextField(blank=True, editable=False)
    # A deleted row is kept for its deliveries. From `emptied_at` on none waits and none is added.
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)
    emptied_at = models.DateTimeField(null=True, blank=True, editable=False)

    #: Entities whose mirrors are added in the same transaction, for validation.
    mirrored_soon: Collection[str] = ()

    objects = MappingManager()
    #: Includes the deleted ones, for the display of deliveries.
    with_deleted = MappingQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(handler="") | Q(task=""),
                name="mapping_handler_or_task",
                violation_error_message="Choose a handler or a task, not both.",
            ),
            models.UniqueConstraint(
                fields=["listener", "name"],
                condition=~Q(name="") & Q(deleted_at__isnull=True),
                name="mapping_name_once_a_listener",
            ),
        ]

    def __str__(self) -> str:
        target = self.handler or self.task or "recorded only"
        return f"{self.get_on_display()} {self.entity}: {target}"

    @property
    def is_deleted(self) -> bool:
        return self.deleted_at is not None

    @property
    def is_tracking(self) -> bool:
        """Whether it sends external tasks and waits for their reports."""
        return bool(self.task) and self.track

    @property
    def has_outcomes(self) -> bool:
        """Whether the outcomes of its deliveries become known, so that they can have an order."""
        return bool(self.handler) or self.is_tracking

    @property
    def is_of_mirror(self) -> bool:
        """Whether this mapping brings the changes of its entity to a mirror."""
        return self.managed and self.handler == MIRROR_HANDLER

    def delete(self, *_: Any, **__: Any) -> tuple[int, dict[str, int]]:
        """Hide the mapping, as `MappingQuerySet.delete` does. Its row goes with its listener."""
        return type(self).objects.filter(pk=self.pk).delete()

    def clean(self) -> None:
        flaws_of = {
            "name": self._name_flaws(),
            "changed_fields": self._changed_fields_flaws(),
            "condition": self._condition_flaws(),
            "ignore_origins": origin_flaws(self.ignore_origins),
            "ignore_users": user_flaws(self.ignore_users),
            "options": self._options_flaws(),
            "on_dead": self._on_dead_flaws(),
            "after": self._after_flaws(),
            **setting_flaws(self),
        }
        if errors := {name: messages for name, messages in flaws_of.items() if messages}:
            raise ValidationError(errors)

    def _name_flaws(self) -> list[str]:
        """Check the unique name here: forms exclude the listener, and with it the constraint."""
        if not self.name or self.listener_id is None:
            return []
        others = type(self).objects.filter(listener=self.listener_id, name=self.name)
        if others.exclude(pk=self.pk).exists():
            return ["Another mapping of this listener has that name."]
        return []

    def _changed_fields_flaws(self) -> list[str]:
        if not _is_list_of_names(self.changed_fields):
            return ['Give a list of field names, such as ["Phone", "Name"].']
        if self.changed_fields and self.on != self.On.UPDATE:
            return ["Only updates have changed fields; leave this empty."]
        return []

    def _condition_flaws(self) -> list[str]:
        if self.condition and self.on == self.On.DELETE:
            return ["A delete has no fields; leave this empty."]
        return flaws(self.condition)

    def _on_dead_flaws(self) -> list[str]:
        if self.on_dead != self.OnDead.HALT:
            return []
        if self.ordering != self.Ordering.PER_RECORD:
            return ["An unordered mapping holds nothing back; order per record, or continue."]
        if self.task and not self.track:
            return ["Failures of a task that is not tracked are not known; choose continue."]
        return []

    def _after_flaws(self) -> list[str]:
        is_known = "listener" in self._state.fields_cache or self.listener_id is not None
        if self.after != self.After.MIRROR or not is_known:
            return []
        if self.managed:
            return ["This mapping belongs to a mirror, which cannot run after itself."]
        if not (self.handler or self.task):
            return ["Choose a handler or a task to run after the mirror."]
        mirrored = {*self.mirrored_soon, *self._mirrored_entities()}
        if self.entity in mirrored or (self.entity == "*" and mirrored):
            return []
        which = "no mirror" if self.entity == "*" else f"no mirror of {self.entity}"
        known = ", ".join(sorted(mirrored)) or "none"
        return [
            f"This listener has {which}. Add one with `manage.py mirror add`, or leave this empty. "
            f"Mirrored: {known}."
        ]

    def _mirrored_entities(self) -> Any:
        mappings = type(self).objects.filter(listener_id=self.listener_id, managed=True)
        return mappings.filter(handler=MIRROR_HANDLER).values_list("entity", flat=True).distinct()

    def _options_flaws(self) -> list[str]:
        if not isinstance(self.options, dict):
            return ["Give a JSON object, such as {}."]
        if self.task:
            return option_flaws(self)
        if "secret" in self.options and not str(self.options["secret"]).startswith(REFERENCES):
            return ["A secret must be a reference: env:NAME or file:PATH."]
        return []


def _is_list_of_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) and name for name in value)
