"""`listeners/`: subscriptions to channels of an org."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from api.protocol.fields import NameField
from api.protocol.problems import Conflict
from api.protocol.rows import NoteSerializer, RowSerializer
from api.protocol.views import SettingsViewSet, asked
from api.resources import task_checks
from api.resources.connection_tests import THROTTLES, FoundSerializer, found
from api.resources.mappings import HandlerSerializer
from api.resources.redelivering import ReasonSerializer
from audit.action_log import Action, Actor, note
from audit.log.record import with_history
from consumer import listener_control
from consumer.diagnostics.connection_check import checked
from consumer.listener_control import NotNow
from handlers.external.task_checks import Checks, check_tasks
from handlers.models import HandlerMapping
from listeners.access.object_grants import reached
from listeners.access.permissions import OPERATE, may
from listeners.connections.listener_warnings import ENDPOINT_IS_CLOSED, OF_SALESFORCE, warnings
from listeners.listener_state import STATES, position_of, standing_now
from listeners.models import Connection, Listener, Position

CHANGE_CONNECTION = "listeners.change_connection"


class PositionSerializer(serializers.ModelSerializer[Position]):
    """The position of a listener.

    `replay_id`: where its next subscription continues. `tip_since`: when it last started with
    new events only, or was set to the earliest one after a loss; it counts as long as `replay_id`
    is empty, `-1` or `-2`. `named_at`: when Salesforce gave a replay id that is not an event's, up
    to which there were no further events.
    """

    class Meta:
        model = Position
        fields = ("replay_id", "named_at", "tip_since", "last_event_at", "last_received_at")
        read_only_fields = fields


class ListenerSerializer(RowSerializer[Listener]):
    """A listener. `reason` explains its `state`."""

    connection = NameField(queryset=Connection.objects.all())
    handlers = HandlerSerializer(
        many=True,
        required=False,
        write_only=True,
        help_text="Only for a new listener. Kinds of changes without a handler are only recorded.",
    )
    state = serializers.SerializerMethodField()
    reason = serializers.SerializerMethodField()
    position = serializers.SerializerMethodField()
    warnings = serializers.SerializerMethodField()

    #: The mappings that `create` has added for the request's `handlers`.
    added: Sequence[HandlerMapping] = ()

    class Meta:
        model = Listener
        fields = "__all__"

    @extend_schema_field(serializers.ChoiceField(choices=STATES))
    def get_state(self, listener: Listener) -> str:
        return standing_now(listener, timezone.now()).state

    def get_reason(self, listener: Listener) -> str | None:
        return standing_now(listener, timezone.now()).reason

    @extend_schema_field(PositionSerializer(allow_null=True))
    def get_position(self, listener: Listener) -> Any:
        position = position_of(listener)
        return PositionSerializer(position).data if position else None

    @extend_schema_field(NoteSerializer(many=True))
    def get_warnings(self, listener: Listener) -> list[dict[str, str]]:
        return [{"field": field, "message": text} for field, text in warnings(listener)]

    def validate_handlers(self, mappings: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if self.instance:
            raise serializers.ValidationError("Change them at /api/v1/handler-mappings/.")
        if not self.context["request"].user.has_perm("handlers.add_handlermapping"):
            raise PermissionDenied(
                "This requires the permission handlers.add_handlermapping. Or leave out handlers."
            )
        names = Counter(mapping["name"] for mapping in mappings if mapping.get("name"))
        for name, count in names.items():
            if count > 1:
                raise serializers.ValidationError(f"Two handlers have the name {name!r}.")
        return mappings

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Check the permission to change the endpoint, which receives a token of the connection."""
        cleaned = super().validate(attrs)
        stored = self.instance or Listener()
        endpoint = cleaned.get("pubsub_endpoint", stored.pubsub_endpoint)
        connection = cleaned.get("connection") or stored.connection
        differs = (endpoint, connection.pk) != (stored.pubsub_endpoint, stored.connection_id)
        if differs and not OF_SALESFORCE.fullmatch(endpoint) and not self._may_change(connection):
            message = ENDPOINT_IS_CLOSED.format(connection)
            raise serializers.ValidationError({"pubsub_endpoint": message})
        return cleaned

    def _may_change(self, connection: Connection) -> bool:
        user = self.context["request"].user
        return may(user, CHANGE_CONNECTION) or connection.pk in reached(
            user, Connection, [CHANGE_CONNECTION]
        )

    def create(self, validated_data: dict[str, Any]) -> Listener:
        """Create a listener with its handlers, and empty mappings for other kinds of changes."""
        mappings = validated_data.pop("handlers", [])
        listener = super().create(validated_data)
        self.added = [
            HandlerMapping.objects.create(listener=listener, **mapping) for mapping in mappings
        ]
        HandlerMapping.objects.create_defaults(listener)
        return listener


@extend_schema_view(create=task_checks.allows_unknown)
class ListenerViewSet(SettingsViewSet[Listener]):
    """Listeners: subscriptions to a channel of an org."""

    queryset: QuerySet[Listener] = Listener.objects.select_related("connection", "position")
    serializer_class = ListenerSerializer
    ordering = ("name",)
    owner = "pk"
    takes = dict.fromkeys(("start", "stop", "forget_position", "test"), OPERATE)

    #: What the workers of new tasks' queues answered.
    checks: Checks | None = None

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), task_checks.CONTEXT: self.checks or {}}

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        handlers = request.data.get("handlers") if isinstance(request.data, dict) else None
        self.checks = check_tasks(
            task_checks.asked_address(item)
            for item in (handlers if isinstance(handlers, list) else ())
            if isinstance(item, dict)
        )
        return super().create(request, *args, **kwargs)

    def perform_create(self, serializer: Any) -> None:
        super().perform_create(serializer)
        for mapping in serializer.added:
            note(Actor.by_api(self.request), Action.ADD, mapping)

    def perform_destroy(self, instance: Listener) -> None:
        if with_history([instance]):
            raise Conflict(
                f"Listener {instance} has audit log entries and cannot be deleted. Disable it."
            )
        if mirrors := [str(mirror) for mirror in instance.mirrors.all()]:
            raise Conflict(
                f"Listener {instance} keeps mirrors: {', '.join(mirrors)}. Delete them first."
            )
        super().perform_destroy(instance)

    @extend_schema(request=ReasonSerializer, responses=ListenerSerializer)
    @action(detail=True, methods=["post"])
    def start(self, request: Request, **_: Any) -> Response:
        """Enable a listener; a listener process then runs it."""
        if not listener_control.start(*self._asked(request)):
            raise Conflict("The listener is already enabled.")
        return self.shown()

    @extend_schema(request=ReasonSerializer, responses=ListenerSerializer)
    @action(detail=True, methods=["post"])
    def stop(self, request: Request, **_: Any) -> Response:
        """Disable a listener. Received changes are still recorded, and the position is kept."""
        if not listener_control.stop(*self._asked(request)):
            raise Conflict("The listener is not enabled.")
        return self.shown()

    @extend_schema(request=ReasonSerializer, responses=ListenerSerializer)
    @action(detail=True, methods=["post"], url_path="forget-position")
    def forget_position(self, request: Request, **_: Any) -> Response:
        """Forget the position of a stopped listener, which then starts where its settings say."""
        try:
            listener_control.forget_position(*self._asked(request))
        except NotNow as error:
            raise Conflict(str(error)) from None
        return self.shown()

    @extend_schema(request=None, responses=FoundSerializer)
    @action(detail=True, methods=["post"], throttle_classes=THROTTLES)
    def test(self, request: Request, **_: Any) -> Response:
        """Log in, and briefly subscribe to the channel, without moving the position."""
        listener = self.get_object()
        by = Actor.by_api(request)
        return Response(found(checked(listener.connection, [listener], by)))

    def _asked(self, request: Request) -> tuple[Listener, Actor, str, datetime]:
        by, reason = Actor.by_api(request), asked(ReasonSerializer, request)["reason"]
        return self.get_object(), by, reason, timezone.now()
