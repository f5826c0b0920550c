"""`redeliveries/`: who had recorded changes sent to their handlers again, which, and why."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ReadOnlyModelViewSet

from api.fields import NameField
from api.redelivering import CountsSerializer, ReasonSerializer, answered
from audit.actions import Actor
from audit.queries import AuditLogFilter
from handlers.models import Delivery, Redelivery
from handlers.redelivery import Contradiction, TooMany, Wish, refuse_too_many, wish
from listeners.models import Listener
from listeners.permissions import REDELIVER

#: What does not pick.
_BESIDE = ("reason", "dry_run", "new_handlers", "all")


class RedeliverySerializer(serializers.ModelSerializer[Redelivery]):
    class Meta:
        model = Redelivery
        fields = "__all__"


class AskedSerializer(ReasonSerializer):
    """Which deliveries: all that is given must be true. Without any of it, `all` must be true."""

    listener = NameField(queryset=Listener.objects.all(), required=False, help_text="Its name.")
    entity = serializers.CharField(required=False)
    record_id = serializers.CharField(required=False)
    change_type = serializers.CharField(required=False)
    since = serializers.DateTimeField(required=False, help_text="Received then or later.")
    until = serializers.DateTimeField(required=False, help_text="Received before then.")
    handler = serializers.CharField(required=False)
    state = serializers.ChoiceField(
        choices=[*Delivery.State.choices, ("failed", "Retrying or dead")], required=False
    )
    all = serializers.BooleanField(default=False)
    new_handlers = serializers.BooleanField(
        default=False, help_text="Also to mappings that match now and never had the change."
    )
    dry_run = serializers.BooleanField(default=False, help_text="Count, and send nothing.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["all"] == any(name not in _BESIDE for name in attrs):
            raise serializers.ValidationError("Say which: give a filter, or all alone.")
        return attrs

    def wish(self, by: Actor) -> Wish:
        """Of what is valid. Raises ValidationError when it is too much at once."""
        given = dict(self.validated_data)
        beside = {name: given.pop(name) for name in _BESIDE}
        if "record_id" in given:
            given["record"] = given.pop("record_id")
        if "listener" in given:
            given["listener"] = given["listener"].name
        try:
            asked = wish(
                AuditLogFilter(**given),
                by,
                reason=beside["reason"],
                new_handlers=beside["new_handlers"],
            )
            refuse_too_many(asked)
        except (Contradiction, TooMany) as error:
            raise serializers.ValidationError(str(error)) from None
        return asked


class RedeliveryViewSet(ReadOnlyModelViewSet[Redelivery]):
    """Recorded changes that were sent to their handlers again: whose wish, which, and why."""

    queryset = Redelivery.objects.all()
    serializer_class = RedeliverySerializer
    takes = {"create": REDELIVER}

    @extend_schema(
        request=AskedSerializer, responses={201: CountsSerializer, 200: CountsSerializer}
    )
    def create(self, request: Request, **_: Any) -> Response:
        """Send changes to their handlers again; 200 for a dry run."""
        asked = AskedSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        dry_run = asked.validated_data["dry_run"]
        counts = answered(asked.wish(Actor.by_api(request)), dry_run=dry_run)
        return Response(counts, status=200 if dry_run else 201)
