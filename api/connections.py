"""`connections/`: how to log in to an org. Under the names of the configuration file."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.problems import Conflict
from api.rows import FieldsSerializer, NoteSerializer, RowSerializer
from api.views import SettingsViewSet
from listeners.connection_rules import default_of, warnings
from listeners.models import Connection
from listeners.secrets import described

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
        found = warnings(connection, alone=isinstance(self.parent, serializers.ListSerializer))
        return [{"field": field, "message": text} for field, text in found]

    def at_fields(self, messages: dict[str, list[str]]) -> dict[str, Any]:
        found = super().at_fields(messages)
        parts = {part: found.pop(PREFIX + part) for part in PARTS if PREFIX + part in found}
        return {**found, "proxy_config": parts} if parts else found


class ConnectionViewSet(SettingsViewSet[Connection]):
    """How to log in to a Salesforce org, and how to reach it."""

    queryset = Connection.objects.all()
    serializer_class = ConnectionSerializer
    ordering = ("name",)

    def perform_destroy(self, instance: Connection) -> None:
        users = ", ".join(instance.listeners.values_list("name", flat=True))
        if users:
            raise Conflict(
                f"Connection {instance} is in use: delete its listeners first ({users})."
            )
        super().perform_destroy(instance)
