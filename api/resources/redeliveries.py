"""`redeliveries/`: redeliveries of recorded changes."""

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
    preview,
    rows_of,
    start,
)
from audit.action_log import Actor
from audit.models import AuditLogFilter
from handlers.models import Delivery, Redelivery
from handlers.redelivery.job import cancel
from handlers.redelivery.request import (
    Contradiction,
    RedeliveryRequest,
    TooMany,
    counts_of,
    refuse_to_count,
    request_matching,
)
from listeners.access.permissions import REDELIVER
from listeners.models import Listener

#: Fields that are not filters.
_OPTIONS = ("reason", "dry_run", "new_handlers", "as_recorded", "all")


class RedeliverySerializer(serializers.ModelSerializer[Redelivery]):
    """A redelivery: its requester, criteria and reason, and its progress, `done` of `total`."""

    counts = serializers.SerializerMethodField()

    class Meta:
        model = Redelivery
        exclude = ("handler", "tries", "due_at", "claimed_until")

    @extend_schema_field(CountSerializer(many=True))
    def get_counts(self, redelivery: Redelivery) -> Any:
        """The outcomes so far."""
        return rows_of(counts_of(redelivery))


class AskedSerializer(RedeliverSerializer):
    """The deliveries that match all given filters. Without a filter, `all` must be true."""

    listener = NameField(
        queryset=Listener.objects.all(), required=False, help_text="The name of a listener."
    )
    entity = serializers.CharField(required=False)
    record_id = serializers.CharField(required=False)
    change_type = serializers.CharField(required=False)
    since = serializers.DateTimeField(required=False, help_text="Received at this time or later.")
    until = serializers.DateTimeField(required=False, help_text="Received before this time.")
    handler = serializers.CharField(required=False)
    state = serializers.ChoiceField(
        choices=[*Delivery.State.choices, ("failed", "Retrying or dead")], required=False
    )
    all = serializers.BooleanField(default=False)
    new_handlers = serializers.BooleanField(
        default=False,
        help_text="Also send changes to mappings that match now and have no delivery of them.",
    )
    dry_run = serializers.BooleanField(
        default=False, help_text="Count the deliveries without sending them."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["all"] == any(name not in _OPTIONS for name in attrs):
            raise serializers.ValidationError(
                "Specify either at least one filter, or all to redeliver everything."
            )
        return attrs

    def redelivery_request(self, by: Actor) -> RedeliveryRequest:
        """Return the request. Raises ValidationError for contradictions and too many entries."""
        given = dict(self.validated_data)
        options = {name: given.pop(name) for name in _OPTIONS}
        if "record_id" in given:
            given["record"] = given.pop("record_id")
        if "listener" in given:
            given["listener"] = given["listener"].name
        try:
            requested = request_matching(
                AuditLogFilter(**given),
                by,
                reason=options["reason"],
                new_handlers=options["new_handlers"],
                as_recorded=options["as_recorded"],
            )
            if options["dry_run"]:
                refuse_to_count(requested)
        except (Contradiction, TooMany) as error:
            raise serializers.ValidationError(str(error)) from None
        return requested


class RedeliveryViewSet(ReadViewSet[Redelivery]):
    """Redeliveries of recorded changes to their handlers."""

    queryset = Redelivery.objects.all()
    serializer_class = RedeliverySerializer
    takes = {"create": REDELIVER, "cancel": REDELIVER}

    @extend_schema(
        request=AskedSerializer,
        responses={201: CountsSerializer, 202: CountsSerializer, 200: CountsSerializer},
    )
    def create(self, request: Request, **_: Any) -> Response:
        """Redeliver changes to their handlers. This request fixes the matching deliveries: 201 when
        all are done, 202 when workers continue, 200 for a dry run."""
        serializer = AskedSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        redelivery_request = serializer.redelivery_request(Actor.by_api(request))
        if serializer.validated_data["dry_run"]:
            return Response(preview(redelivery_request))
        counts, is_done = start(redelivery_request)
        return Response(counts, status=201 if is_done else 202)

    @extend_schema(request=ReasonSerializer, responses=RedeliverySerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, **_: Any) -> Response:
        """Cancel a redelivery. Deliveries that were sent stay sent; 409 if it has ended."""
        redelivery = self.get_object()
        by, reason = Actor.by_api(request), asked(ReasonSerializer, request)["reason"]
        if not cancel(redelivery.pk, by, reason, timezone.now()):
            raise Conflict("The redelivery has already ended.")
        redelivery.refresh_from_db()
        return Response(RedeliverySerializer(redelivery).data)
