"""`audit-log/`: the audit log, in the form of the export."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from rest_framework import serializers

from api.protocol.filtering import MomentFilter
from api.resources.redelivering import Redeliverable
from audit.log.masking import Sight
from audit.models import AuditLogEntry, AuditLogFilter
from handlers.models import Delivery
from handlers.redelivery.request import LEFT_OUT
from handlers.reporting.export import COLUMNS, EXTRA, exported_entry, with_deliveries


class ExportedDeliverySerializer(serializers.Serializer[Delivery]):
    id = serializers.IntegerField()
    handler = serializers.CharField()
    state = serializers.ChoiceField(choices=Delivery.State.choices)
    attempts = serializers.IntegerField()
    error = serializers.CharField(allow_null=True)
    queued_at = serializers.DateTimeField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


class ReplayIdField(serializers.Field[Any, Any, Any, Any]):
    """A number if Salesforce sent a number (CometD), otherwise a text."""

    _spectacular_annotation = {"field": {"type": ["integer", "string", "null"]}}


class EntrySerializer(serializers.ModelSerializer[AuditLogEntry]):
    """One change of one record, in the form of the export."""

    listener = serializers.CharField(read_only=True)
    commit_user = serializers.CharField(read_only=True, allow_null=True)
    replay_id = ReplayIdField(read_only=True)
    changed_fields = serializers.ListField(
        child=serializers.CharField(),
        read_only=True,
        allow_null=True,
        help_text="null if the event has no such list.",
    )
    changed_data = serializers.DictField(read_only=True)
    deliveries = ExportedDeliverySerializer(many=True, read_only=True)
    header_extra = serializers.DictField(
        required=False,
        help_text="Header fields without a key of their own; left out if the event has none.",
    )

    class Meta:
        model = AuditLogEntry
        fields = (*COLUMNS, EXTRA)
        read_only_fields = (*COLUMNS, EXTRA)

    def to_representation(self, instance: AuditLogEntry) -> dict[str, Any]:
        return exported_entry(instance, Sight.elsewhere(self.context["request"].user))


class EntryFilter(filters.FilterSet):
    listener = filters.CharFilter(help_text="The name of a listener.")
    entity = filters.CharFilter(help_text="The name of an entity, such as Account.")
    record_id = filters.CharFilter(help_text="The record ID of 18 characters.")
    change_type = filters.CharFilter(help_text="The change type, such as UPDATE.")
    since = MomentFilter(help_text="Received at this time or later; UTC.")
    until = MomentFilter(help_text="Received before this time; UTC.")

    def filter_queryset(self, queryset: Any) -> Any:
        """Filter with `AuditLogFilter`, as the export does."""
        wanted = {name: value for name, value in self.form.cleaned_data.items() if value}
        if "record_id" in wanted:
            wanted["record"] = wanted.pop("record_id")
        return queryset.matching(AuditLogFilter(**wanted))


class AuditLogViewSet(Redeliverable[AuditLogEntry]):
    """The recorded changes, one entry per record, with their deliveries."""

    queryset: QuerySet[AuditLogEntry] = with_deliveries(AuditLogEntry.objects.all())
    serializer_class = EntrySerializer
    filterset_class = EntryFilter
    owner = "listener_id"

    @property
    def pages_by(self) -> tuple[str, str]:
        """Order by `received_at` when a time filter is given, so that its index finds the page."""
        given = self.request.query_params
        return ("received_at" if given.get("since") or given.get("until") else "", "")

    def deliveries_of(self, row: AuditLogEntry) -> QuerySet[Delivery]:
        return Delivery.objects.filter(entry=row).exclude(LEFT_OUT)
