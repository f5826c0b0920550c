"""`redeliveries/`: who had recorded changes sent to their handlers again, which, and why."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api.protocol.fields import NameField
from api.protocol.problems import Conflict
from api.protocol.views import ReadViewSet, asked
from api.resources.redelivering import (
    CountSerializer,
    CountsSerializer,
    ReasonSerializer,
    RedeliverSerializer,
    answered,
    foretold,
    rows_of,
)
from audit.action_log import Actor
from audit.models.entry_queryset import AuditLogFilter
from handlers.models import Delivery, Redelivery
from handlers.redelivery.job import cancel
from handlers.redelivery.request import (
    Contradiction,
    TooMany,
    Wish,
    counts_of,
    refuse_to_count,
    wish,
)
from listeners.access.permissions import REDELIVER
from listeners.models import Listener

#: What does not pick.
_BESIDE = ("reason", "dry_run", "new_handlers", "as_recorded", "all")


class RedeliverySerializer(serializers.ModelSerializer[Redelivery]):
    """Whose wish, which, why, and how far it is: `done` of `total`."""

    counts = serializers.SerializerMethodField()

    class Meta:
        model = Redelivery
        exclude = ("handler", "tries", "due_at", "claimed_until")

    @extend_schema_field(CountSerializer(many=True))
    def get_counts(self, redelivery: Redelivery) -> Any:
        """What became of them, so far."""
        return rows_of(counts_of(redelivery))


class AskedSerializer(RedeliverSerializer):
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
                as_recorded=beside["as_recorded"],
            )
            if beside["dry_run"]:
                refuse_to_count(asked)
        except (Contradiction, TooMany) as error:
            raise serializers.ValidationError(str(error)) from None
        return asked


class RedeliveryViewSet(ReadViewSet[Redelivery]):
    """Recorded changes that were sent to their handlers again: whose wish, which, and why."""

    queryset = Redelivery.objects.all()
    serializer_class = RedeliverySerializer
    takes = {"create": REDELIVER, "cancel": REDELIVER}

    @extend_schema(
        request=AskedSerializer,
        responses={201: CountsSerializer, 202: CountsSerializer, 200: CountsSerializer},
    )
    def create(self, request: Request, **_: Any) -> Response:
        """Send changes to their handlers again. What is asked for is fixed now: 201 when all of it
        is done, 202 when workers do it, 200 for a dry run."""
        which = AskedSerializer(data=request.data)
        which.is_valid(raise_exception=True)
        wish = which.wish(Actor.by_api(request))
        if which.validated_data["dry_run"]:
            return Response(foretold(wish))
        counts, is_done = answered(wish)
        return Response(counts, status=201 if is_done else 202)

    @extend_schema(request=ReasonSerializer, responses=RedeliverySerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, **_: Any) -> Response:
        """Send no more of it. What was sent stays sent; 409 when it is over."""
        redelivery = self.get_object()
        by, reason = Actor.by_api(request), asked(ReasonSerializer, request)["reason"]
        if not cancel(redelivery.pk, by, reason, timezone.now()):
            raise Conflict("It is over.")
        redelivery.refresh_from_db()
        return Response(RedeliverySerializer(redelivery).data)
