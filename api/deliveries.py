"""`deliveries/`: what became of each change for each of its handlers."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import ReadOnlyModelViewSet

from api.audit_log import ExportedDeliverySerializer
from audit.queries import FAILED
from handlers.exported import exported_delivery
from handlers.models import Delivery, DeliveryAttempt

#: Not read for a list: a change may be large.
_DATA = ("changed_fields", "nulled_fields", "diff_fields", "changed_data")


class DeliverySerializer(ExportedDeliverySerializer):
    """A delivery as an audit entry shows it, and which change it is of."""

    entry = serializers.IntegerField(source="entry_id", help_text="The audit entry's id.")
    listener = serializers.CharField(source="entry.listener.name")
    entity_name = serializers.CharField(source="entry.entity_name")
    record_id = serializers.CharField(source="entry.record_id")
    change_type = serializers.CharField(source="entry.change_type")
    mapping = serializers.IntegerField(
        source="mapping_id", allow_null=True, help_text="null: the mapping was deleted since."
    )
    queue = serializers.CharField()
    created_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField(allow_null=True, help_text="Of the next attempt.")

    def to_representation(self, instance: Delivery) -> dict[str, Any]:
        return super().to_representation(instance) | exported_delivery(instance)


class AttemptSerializer(serializers.ModelSerializer[DeliveryAttempt]):
    class Meta:
        model = DeliveryAttempt
        exclude = ("id", "delivery")


class DeliveryDetailSerializer(DeliverySerializer):
    attempt_log = AttemptSerializer(many=True)


class DeliveryFilter(filters.FilterSet):
    listener = filters.CharFilter("entry__listener__name", help_text="A listener's name.")
    handler = filters.CharFilter()
    state = filters.ChoiceFilter(
        choices=[*Delivery.State.choices, ("failed", "Retrying or dead")], method="in_state"
    )
    entry = filters.NumberFilter(help_text="An audit entry's id.")

    def in_state(self, queryset: Any, name: str, state: str) -> Any:
        return queryset.filter(state__in=FAILED if state == "failed" else (state,))


class DeliveryViewSet(ReadOnlyModelViewSet[Delivery]):
    """One change for one handler: its state, its attempts, its error."""

    queryset = Delivery.objects.select_related("entry__listener").defer(
        *(f"entry__{name}" for name in _DATA)
    )
    filterset_class = DeliveryFilter

    def get_serializer_class(self) -> type[BaseSerializer[Delivery]]:
        return DeliveryDetailSerializer if self.action == "retrieve" else DeliverySerializer
