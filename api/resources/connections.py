"""`connections/`: how to log in to an org. Under the names of the configuration file."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api.protocol.problems import Conflict
from api.protocol.rows import FieldsSerializer, NoteSerializer, RowSerializer
from api.protocol.views import SettingsViewSet
from api.resources.connection_tests import THROTTLES, FoundSerializer, found
from audit.action_log import Actor
from consumer.diagnostics.connection_check import checked
from consumer.diagnostics.unsaved_connection import try_out
from listeners.access.permissions import OPERATE
from listeners.models import Connection
from listeners.models.connection_rules import default_of, warnings
from listeners.secrets.encrypted_field import described

PREFIX = "proxy_"
PARTS = ("scheme", "host", "port", "username", "password")

_SECRETS = {
    "type": "object",
    "description": "Of each secret `set`, `not set`, or the reference that is stored.",
    "properties": {name: {"type": "string"} for name in Connection.SECRETS},
    "required": list(Connection.SECRETS),
}


class ProxySerializer(FieldsSerializer[Connection]):
    """Parts of the connection's own row, which has a proxy when it has a proxy's host."""

    class Meta:
        model = Connection
        fields = PARTS
        extra_kwargs = {part: {"source": PREFIX + part} for part in PARTS}

    def to_internal_value(self, data: Any) -> Any:
        if data is not None:
            return super().to_internal_value(data)
        return {PREFIX + part: default_of(Connection(), PREFIX + part) for part in PARTS}

    def to_representation(self, instance: Connection) -> Any:
        return super().to_representation(instance) if instance.has_proxy else None


class ConnectionSerializer(RowSerializer[Connection]):
    """How to log in. A secret that is left out is kept; an empty text clears it."""

    proxy_config = ProxySerializer(
        source="*",
        required=False,
        allow_null=True,
        help_text="Every request goes through it. null: no proxy. A part that is left out is kept.",
    )
    secrets = serializers.SerializerMethodField()
    warnings = serializers.SerializerMethodField()

    class Meta:
        model = Connection
        exclude = tuple(PREFIX + part for part in PARTS)

    @extend_schema_field(_SECRETS)
    def get_secrets(self, connection: Connection) -> dict[str, str]:
        return {name: described(getattr(connection, name)) for name in connection.SECRETS}

    @extend_schema_field(NoteSerializer(many=True))
    def get_warnings(self, connection: Connection) -> list[dict[str, str]]:
        # In a list each would be compared with all the others.
        told = warnings(connection, alone=isinstance(self.parent, serializers.ListSerializer))
        return [{"field": field, "message": text} for field, text in told]

    def at_fields(self, messages: dict[str, list[str]]) -> dict[str, Any]:
        told = super().at_fields(messages)
        parts = {part: told.pop(PREFIX + part) for part in PARTS if PREFIX + part in told}
        return {**told, "proxy_config": parts} if parts else told


class ConnectionViewSet(SettingsViewSet[Connection]):
    """How to log in to a Salesforce org, and how to reach it."""

    queryset = Connection.objects.all()
    serializer_class = ConnectionSerializer
    ordering = ("name",)
    owner = "pk"
    owner_model = Connection
    takes = {"test": OPERATE, "test_unsaved": "listeners.add_connection"}

    @extend_schema(request=None, responses=FoundSerializer)
    @action(detail=True, methods=["post"], throttle_classes=THROTTLES)
    def test(self, request: Request, **_: Any) -> Response:
        """Log in, and subscribe to each of its listeners' channels for a moment."""
        connection = self.get_object()
        listeners = list(connection.listeners.order_by("name"))
        return Response(found(checked(connection, listeners, Actor.by_api(request))))

    @extend_schema(
        operation_id="connections_test_unsaved",
        request=ConnectionSerializer,
        responses=FoundSerializer,
    )
    @action(detail=False, methods=["post"], url_path="test", throttle_classes=THROTTLES)
    def test_unsaved(self, request: Request) -> Response:
        """Log in with the settings of a connection that is yet to be made; nothing is stored."""
        asked = self.get_serializer(data=request.data)
        asked.is_valid(raise_exception=True)
        unsaved = Connection(**asked.validated_data)
        return Response(found(try_out(unsaved, [], Actor.by_api(request))))

    def perform_destroy(self, instance: Connection) -> None:
        users = ", ".join(instance.listeners.values_list("name", flat=True))
        if users:
            raise Conflict(
                f"Connection {instance} is in use: delete its listeners first ({users})."
            )
        super().perform_destroy(instance)
