"""`connections/`: how to log in to an org, with the names of the configuration file."""

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
    "description": "For each secret `set`, `not set`, or its stored reference.",
    "properties": {name: {"type": "string"} for name in Connection.SECRETS},
    "required": list(Connection.SECRETS),
}


class ProxySerializer(FieldsSerializer[Connection]):
    """The proxy of a connection, which it has when `host` is set."""

    class Meta:
        model = Connection
        fields = PARTS
        extra_kwargs = {part: {"source": PREFIX + part} for part in PARTS}

    def to_internal_value(self, data: Any) -> Any:
        if data is not None:
            return super().to_internal_value(data)
        return {PREFIX + part: default_of(Connection(), PREFIX + part) for part in PARTS}

    def to_representation(self, instance: Connection) -> Any:
        return super().to_representation(instance) if instance.proxy_host else None


class ConnectionSerializer(RowSerializer[Connection]):
    """A connection. A secret that is left out is kept; an empty text clears it."""

    proxy_config = ProxySerializer(
        source="*",
        required=False,
        allow_null=True,
        help_text="The proxy of all requests; null: no proxy. Parts that are left out are kept.",
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
        # In a list, comparing each connection with all others would be slow.
        found = warnings(connection, alone=isinstance(self.parent, serializers.ListSerializer))
        return [{"field": field, "message": text} for field, text in found]

    def at_fields(self, messages: dict[str, list[str]]) -> dict[str, Any]:
        fields = super().at_fields(messages)
        parts = {part: fields.pop(PREFIX + part) for part in PARTS if PREFIX + part in fields}
        return {**fields, "proxy_config": parts} if parts else fields


class ConnectionViewSet(SettingsViewSet[Connection]):
    """Connections: how to reach and log in to a Salesforce org."""

    queryset = Connection.objects.all()
    serializer_class = ConnectionSerializer
    ordering = ("name",)
    owner = "pk"
    owner_model = Connection
    takes = {"test": OPERATE, "test_unsaved": "listeners.add_connection"}

    @extend_schema(request=None, responses=FoundSerializer)
    @action(detail=True, methods=["post"], throttle_classes=THROTTLES)
    def test(self, request: Request, **_: Any) -> Response:
        """Log in, and briefly subscribe to the channel of each of its listeners."""
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
        """Log in with the settings of a new connection, without storing it."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        unsaved = Connection(**serializer.validated_data)
        return Response(found(try_out(unsaved, [], Actor.by_api(request))))

    def perform_destroy(self, instance: Connection) -> None:
        users = ", ".join(instance.listeners.values_list("name", flat=True))
        if users:
            raise Conflict(f"Connection {instance} is in use. Delete its listeners first: {users}.")
        super().perform_destroy(instance)
