"""`handler-mappings/`: which handler gets which changes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api.protocol.fields import NameField
from api.protocol.problems import Conflict
from api.protocol.rows import NoteSerializer, RowSerializer
from api.protocol.views import SettingsViewSet, asked
from api.resources import task_checks
from api.resources.redelivering import ReasonSerializer
from audit.action_log import Actor
from handlers.checks import unregistered_message
from handlers.external.task_checks import Checks, address_of, check_tasks
from handlers.mappings import pause as mappings_pause
from handlers.mappings import retarget
from handlers.models import Destination, HandlerMapping
from handlers.sdk import registry
from listeners.access.permissions import OPERATE
from listeners.models import Listener
from mirror.service import mirror_of

_PAUSE = ("paused_at", "paused_by", "pause_reason")
_DELETED = ("deleted_at", "emptied_at")  # always null, since deleted mappings are not shown
#: What the mirror of a managed mapping does with it, and no one else.
_OF_THE_OWNER = ("update", "partial_update", "destroy", "pause")
_MANAGED = "This mapping belongs to the mirror {}: change or delete that at /api/v1/mirrors/."


class HandlerSerializer(RowSerializer[HandlerMapping]):
    """A mapping without its listener, as an item of a new listener's `handlers`."""

    destination = NameField(
        queryset=Destination.objects.all(),
        required=False,
        allow_null=True,
        help_text="Tasks only: the name of the broker. null: the broker of this project.",
    )

    unchecked = frozenset({"listener"})

    class Meta:
        model = HandlerMapping
        exclude: tuple[str, ...] = ("listener", "managed", *_DELETED, *_PAUSE)

    def new_row(self) -> HandlerMapping:
        """Return a mapping of a new listener, so that what needs a mirror is refused."""
        return HandlerMapping(listener=Listener())

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        cleaned = super().validate(attrs)
        stored = self.instance or HandlerMapping()
        if checks := self.context.get(task_checks.CONTEXT):
            mapping = copy.copy(stored)
            for name in ("task", "destination", "queue"):
                setattr(mapping, name, cleaned.get(name, getattr(stored, name)))
            check = checks.get(address_of(mapping))
            task_checks.refuse_unknown(check, self.context["request"])
        handler = registry.find(cleaned.get("handler", stored.handler))
        if handler is not None and handler.check_options:
            try:
                handler.check_options(cleaned.get("options", stored.options))
            except ValueError as error:
                message = f"{handler.name}: {error}."
                raise serializers.ValidationError({"options": message}) from None
        return cleaned


class HandlerMappingSerializer(HandlerSerializer):
    """A mapping. `warnings` may say that its handler is not registered."""

    listener = NameField(queryset=Listener.objects.all())
    warnings = serializers.SerializerMethodField()

    unchecked = frozenset()

    class Meta(HandlerSerializer.Meta):
        exclude = _DELETED
        # `pause/` and `resume/` change these fields.
        read_only_fields = (*_PAUSE, "managed")

    @extend_schema_field(NoteSerializer(many=True))
    def get_warnings(self, mapping: HandlerMapping) -> list[dict[str, str]]:
        """Warn about an unregistered handler, until whose registration deliveries wait, and after a
        change about a task that the workers of its queue may not have."""
        checks: Checks = self.context.get(task_checks.CONTEXT, {})
        check = checks.get(address_of(mapping)) if checks else None
        if check and check.text:
            return [{"field": "task", "message": check.text}]
        if not mapping.handler or registry.find(mapping.handler):
            return []
        return [{"field": "handler", "message": unregistered_message(mapping.handler)}]

    def validate_listener(self, listener: Listener) -> Listener:
        if self.instance and self.instance.listener_id != listener.pk:
            raise serializers.ValidationError(
                "The listener of a mapping cannot be changed: create a new mapping, and delete "
                "this one."
            )
        return listener


class PauseSerializer(ReasonSerializer):
    handler = serializers.CharField(help_text="The name of a handler or task.")


class PausedSerializer(serializers.Serializer[Any]):
    count = serializers.IntegerField(help_text="The number of changed mappings.")


class MappingFilter(filters.FilterSet):
    listener = filters.CharFilter("listener__name", help_text="The name of a listener.")
    on = filters.ChoiceFilter(choices=HandlerMapping.On.choices)
    entity = filters.CharFilter(help_text="The entity of the mapping: a name, or *.")
    handler = filters.CharFilter()
    task = filters.CharFilter()
    destination = filters.CharFilter("destination__name", help_text="The name of a destination.")
    paused = filters.BooleanFilter("paused_at", lookup_expr="isnull", exclude=True)
    managed = filters.BooleanFilter(help_text="Whether the mapping belongs to a mirror.")


@extend_schema_view(
    create=task_checks.allows_unknown,
    update=task_checks.allows_unknown,
    partial_update=task_checks.allows_unknown,
)
class MappingViewSet(SettingsViewSet[HandlerMapping]):
    """Handler mappings: which handler or Celery task gets which changes of a listener."""

    queryset = HandlerMapping.objects.select_related("listener", "destination")
    serializer_class = HandlerMappingSerializer
    filterset_class = MappingFilter
    owner = "listener_id"
    ordering = ("id",)
    takes = dict.fromkeys(("pause", "resume", "pause_handler", "resume_handler"), OPERATE)

    def get_object(self) -> HandlerMapping:
        mapping = super().get_object()
        if mapping.managed and self.action in _OF_THE_OWNER:
            raise Conflict(_MANAGED.format(mirror_of(mapping) or "of its object"))
        return mapping

    #: What the workers of a new or changed task's queue answered.
    checks: Checks | None = None

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), task_checks.CONTEXT: self.checks or {}}

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        self._check_task(request, None)
        return super().create(request, *args, **kwargs)

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        if stored := self._changeable(kwargs["pk"]):
            self._check_task(request, stored)
        return super().update(request, *args, **kwargs)

    def _changeable(self, pk: str) -> HandlerMapping | None:
        """Return the mapping; None if the user may not change it, which `update` then refuses."""
        rows = HandlerMapping.objects.filter(pk=pk, managed=False)
        for granted in (self.sees, self.acts_on):
            rows = rows if granted is None else rows.filter(listener_id__in=granted)
        return rows.first()

    def _check_task(self, request: Request, stored: HandlerMapping | None) -> None:
        if isinstance(request.data, dict):
            address = task_checks.asked_address(request.data, stored)
            if stored is None or address != address_of(stored):
                self.checks = check_tasks([address])

    def perform_update(self, serializer: Any) -> None:
        super().perform_update(serializer)
        if retarget.ADDRESS.intersection(serializer.changed):
            retarget.move_waiting(serializer.instance, timezone.now())

    @extend_schema(request=ReasonSerializer, responses=HandlerMappingSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, **_: Any) -> Response:
        """Pause a mapping: changes are recorded, and their deliveries wait in order."""
        mapping, reason = self.get_object(), asked(ReasonSerializer, request)["reason"]
        if not mappings_pause.pause([mapping], Actor.by_api(request), reason, timezone.now()):
            raise Conflict("The handler is already paused.")
        return self.shown()

    @extend_schema(request=ReasonSerializer, responses=HandlerMappingSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, **_: Any) -> Response:
        """Resume a mapping, starting with the waiting deliveries."""
        mapping, reason = self.get_object(), asked(ReasonSerializer, request)["reason"]
        if not mappings_pause.resume([mapping], Actor.by_api(request), reason, timezone.now()):
            raise Conflict("The handler is not paused.")
        return self.shown()

    @extend_schema(
        operation_id="handler_mappings_pause_all",
        request=PauseSerializer,
        responses=PausedSerializer,
    )
    @action(detail=False, methods=["post"], url_path="pause")
    def pause_handler(self, request: Request, **_: Any) -> Response:
        """Pause every mapping to a handler, in one transaction."""
        return self._all(request, mappings_pause.pause)

    @extend_schema(
        operation_id="handler_mappings_resume_all",
        request=PauseSerializer,
        responses=PausedSerializer,
    )
    @action(detail=False, methods=["post"], url_path="resume")
    def resume_handler(self, request: Request, **_: Any) -> Response:
        """Resume every mapping to a handler, in one transaction."""
        return self._all(request, mappings_pause.resume)

    def _all(self, request: Request, act: Callable[..., int]) -> Response:
        given = asked(PauseSerializer, request)
        rows = self.get_queryset().filter(mappings_pause.to_handler(given["handler"]))
        if self.acts_on is not None:
            rows = rows.filter(listener_id__in=self.acts_on)
        by, now = Actor.by_api(request), timezone.now()
        return Response({"count": act(rows, by, given["reason"], now)})
