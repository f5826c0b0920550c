"""`destinations/`: brokers of other Celery projects, with the names of the configuration file."""

from __future__ import annotations

from typing import Any

from django.utils.functional import SimpleLazyObject
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api.protocol.problems import Conflict
from api.protocol.rows import RowSerializer
from api.protocol.views import SettingsViewSet
from api.resources.connection_tests import THROTTLES, FoundSerializer, found
from audit.action_log import Actor
from consumer.diagnostics.destination_check import checked
from consumer.monitoring.destinations import down
from handlers.models import Destination
from handlers.models.destination import HOW_TO_FREE
from listeners.access.permissions import OPERATE
from listeners.secrets.encrypted_field import described

_SECRETS = {
    "type": "object",
    "description": "For each secret `set`, `not set`, or its stored reference.",
    "properties": {name: {"type": "string"} for name in Destination.SECRETS},
    "required": list(Destination.SECRETS),
}


class DestinationSerializer(RowSerializer[Destination]):
    """A destination. A secret that is left out is kept; an empty text clears it."""

    address = serializers.CharField(
        read_only=True, help_text="The broker's URL without user and password, or the reference."
    )
    secrets = serializers.SerializerMethodField()
    down = serializers.SerializerMethodField()

    class Meta:
        model = Destination
        fields = (
            *("id", "name", "broker", "ca_certificate", "result_backend", "worker_events"),
            *("address", "secrets", "down"),
        )

    @extend_schema_field(_SECRETS)
    def get_secrets(self, destination: Destination) -> dict[str, str]:
        return {name: described(getattr(destination, name)) for name in destination.SECRETS}

    def get_down(self, destination: Destination) -> str:
        """Why the broker takes no connection; empty: it does."""
        incident = self.context["down"].get(destination.name)
        return incident.summary if incident else ""


class DestinationViewSet(SettingsViewSet[Destination]):
    """Destinations: the brokers of other Celery projects, to which tasks are sent."""

    queryset = Destination.objects.all()
    serializer_class = DestinationSerializer
    ordering = ("name",)
    takes = {"test": OPERATE, "test_unsaved": "handlers.add_destination"}

    def get_serializer_context(self) -> dict[str, Any]:
        # Read once for all rows, and only if a row is shown.
        return {**super().get_serializer_context(), "down": SimpleLazyObject(down)}

    @extend_schema(request=None, responses=FoundSerializer)
    @action(detail=True, methods=["post"], throttle_classes=THROTTLES)
    def test(self, request: Request, **_: Any) -> Response:
        """Connect to the broker, and ask the workers there for their queues and tasks."""
        return Response(found(checked(self.get_object(), Actor.by_api(request))))

    @extend_schema(
        operation_id="destinations_test_unsaved",
        request=DestinationSerializer,
        responses=FoundSerializer,
    )
    @action(detail=False, methods=["post"], url_path="test", throttle_classes=THROTTLES)
    def test_unsaved(self, request: Request) -> Response:
        """Test the settings of a new destination, without storing it."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        unsaved = Destination(**serializer.validated_data)
        return Response(found(checked(unsaved, Actor.by_api(request), is_saved=False)))

    def perform_destroy(self, instance: Destination) -> None:
        if users := "; ".join(instance.users()):
            raise Conflict(f"Destination {instance} is in use: {users}. {HOW_TO_FREE}")
        super().perform_destroy(instance)
