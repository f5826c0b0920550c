"""`deliveries/`: each change for each of its handlers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field, inline_serializer
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from api.protocol.filtering import WholeNumberFilter
from api.protocol.problems import Conflict, Gone, Unavailable
from api.protocol.views import asked
from api.resources.audit_log import ExportedDeliverySerializer
from api.resources.redelivering import ReasonSerializer, Redeliverable
from audit.action_log import Actor
from audit.log.masking import Sight
from audit.models.entry import FAILED
from handlers.dead_letters.halt import skip_halting
from handlers.external.event import event_of
from handlers.models import Delivery, DeliveryAttempt
from handlers.reporting.backlog import STATES
from handlers.reporting.export import exported_delivery
from handlers.reporting.wait_reason import Wait, waits_for
from handlers.sdk.outcomes import Failed, Skipped
from listeners.access.permissions import REDELIVER, SEE_SENSITIVE, may
from listeners.models import Listener

#: Columns that lists do not read, since a change may be large.
_DATA = ("changed_fields", "nulled_fields", "diff_fields", "changed_data")


class DeliverySerializer(ExportedDeliverySerializer):
    """A delivery with its change."""

    entry = serializers.IntegerField(source="entry_id", help_text="The id of the audit log entry.")
    listener = serializers.CharField(source="entry.listener.name")
    entity_name = serializers.CharField(source="entry.entity_name")
    record_id = serializers.CharField(source="entry.record_id")
    change_type = serializers.CharField(source="entry.change_type")
    mapping = serializers.IntegerField(
        source="active_mapping.pk", allow_null=True, help_text="null: the mapping has been deleted."
    )
    queue = serializers.CharField()
    created_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField(allow_null=True, help_text="The time of the next attempt.")

    def to_representation(self, instance: Delivery) -> dict[str, Any]:
        sight = Sight.elsewhere(self.context["request"].user)
        shown = super().to_representation(instance)
        return shown | exported_delivery(instance, instance.entry, sight)


class AttemptSerializer(serializers.ModelSerializer[DeliveryAttempt]):
    error = serializers.SerializerMethodField()
    traceback = serializers.SerializerMethodField()

    class Meta:
        model = DeliveryAttempt
        exclude = ("id", "delivery")

    def get_error(self, attempt: DeliveryAttempt) -> str:
        return self._masked(attempt, attempt.error)

    def get_traceback(self, attempt: DeliveryAttempt) -> str:
        return self._masked(attempt, attempt.traceback)

    def _masked(self, attempt: DeliveryAttempt, text: str) -> str:
        sight = Sight.elsewhere(self.context["request"].user)
        return sight.text(text, attempt.delivery.entry)


class WaitSerializer(serializers.Serializer[Wait]):
    delivery = serializers.IntegerField(
        allow_null=True, help_text="null: it does not wait for another delivery."
    )
    reason = serializers.CharField()


class DeliveryDetailSerializer(DeliverySerializer):
    halts = serializers.BooleanField(
        help_text="Whether it is dead and the next changes of its record wait until it is "
        "redelivered or skipped."
    )
    redelivery = serializers.IntegerField(source="redelivery_id", allow_null=True)
    waits_for = serializers.SerializerMethodField()
    attempt_log = AttemptSerializer(source="all_attempts", many=True)

    @extend_schema_field(WaitSerializer(allow_null=True))
    def get_waits_for(self, delivery: Delivery) -> Any:
        """Why the delivery waits; null if it does not."""
        wait = waits_for(delivery)
        return WaitSerializer(wait).data if wait else None


EVENT = inline_serializer(
    "Event",
    {
        "id": serializers.IntegerField(help_text="The id of the audit log entry."),
        "listener": serializers.CharField(),
        "replayId": serializers.CharField(),
        "attempt": serializers.IntegerField(),
        "changedData": serializers.DictField(),
        "metadata": serializers.DictField(),
        "supersededFields": serializers.ListField(child=serializers.CharField()),
    },
)


def _finds_few(given: Mapping[str, Any]) -> bool:
    """Return whether a filter has an index that finds few rows."""
    return given.get("state") in (*STATES, "failed") or bool(given.get("entry"))


class DeliveryFilter(filters.FilterSet):
    listener = filters.CharFilter(method="of_listener", help_text="The name of a listener.")
    handler = filters.CharFilter()
    state = filters.ChoiceFilter(
        choices=[*Delivery.State.choices, ("failed", "Retrying or dead")], method="in_state"
    )
    entry = WholeNumberFilter(help_text="The id of an audit log entry.")
    halts = filters.BooleanFilter(
        help_text="Whether it is dead and the next changes of its record wait."
    )

    def of_listener(self, queryset: Any, name: str, listener: str) -> Any:
        """Filter by the listener's id, about which the database has statistics."""
        found = Listener.objects.filter(name=listener).values_list("pk", flat=True).first()
        if found is None:
            return queryset.none()
        return queryset.of_listener(found, few=_finds_few(self.form.cleaned_data))

    def in_state(self, queryset: Any, name: str, state: str) -> Any:
        return queryset.filter(state__in=FAILED) if state == "failed" else queryset.in_state(state)


class DeliveryViewSet(Redeliverable[Delivery]):
    """Deliveries: one change for one handler, with its state, attempts and error."""

    queryset: QuerySet[Delivery] = Delivery.objects.select_related("entry__listener", "mapping")
    filterset_class = DeliveryFilter
    owner = "entry__listener_id"
    takes = {**Redeliverable.takes, "go_on": REDELIVER}

    @property
    def pages_by(self) -> tuple[str, str]:
        """Order the deliveries of a listener by entry, unless a filter finds few rows.

        Entries have an index by listener. In the order of deliveries, those of an idle listener
        come after all others.
        """
        given = self.request.query_params
        if not given.get("listener") or _finds_few(given):
            return ("", "")
        return ("entry_id", "entry__listener_id")

    def get_queryset(self) -> QuerySet[Delivery]:
        """Load the data of changes only when errors may have to be masked with it."""
        rows = super().get_queryset()
        if self.action == "event":
            return rows
        masks = not may(self.request.user, SEE_SENSITIVE)
        if masks and Listener.objects.exclude(sensitive_fields=[]).exists():
            return rows
        return rows.defer(*(f"entry__{name}" for name in _DATA))

    def deliveries_of(self, row: Delivery) -> QuerySet[Delivery]:
        return Delivery.objects.filter(pk=row.pk)

    @extend_schema(request=ReasonSerializer, responses=DeliveryDetailSerializer)
    @action(detail=True, methods=["post"], url_path="go-on")
    def go_on(self, request: Request, **_: Any) -> Response:
        """Release the next changes of a record that a dead delivery holds back; it stays dead."""
        delivery = self.get_object()
        by, reason = Actor.by_api(request), asked(ReasonSerializer, request)["reason"]
        if not skip_halting([delivery.pk], by, reason, timezone.now()):
            raise Conflict(f"Delivery {delivery.pk} does not halt its chain.")
        shown = DeliveryDetailSerializer(self.get_object(), context=self.get_serializer_context())
        return Response(shown.data)

    @extend_schema(responses=EVENT)
    @action(detail=True, methods=["get"])
    def event(self, request: Request, **_: Any) -> Response:
        """Return the whole event, as an external task that was sent a reference to it needs it.

        Fields that later changes of the record have replaced have their present values. 410: the
        record has been deleted since. 503: a present value cannot be read now.
        """
        delivery = self.get_object()
        if Sight.elsewhere(request.user).hides_raw(delivery.entry.listener):
            raise PermissionDenied(
                f"This requires the permission {SEE_SENSITIVE}, because the listener has sensitive "
                "fields."
            )
        match event_of(delivery):
            case Skipped(reason):
                raise Gone(f"There is no event any more: {reason}.")
            case Failed(error=error):
                raise Unavailable(error)
            case found:
                return Response(found.to_dict())

    def get_serializer_class(self) -> type[BaseSerializer[Delivery]]:
        return DeliveryDetailSerializer if self.action == "retrieve" else DeliverySerializer
