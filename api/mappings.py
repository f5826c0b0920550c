"""`handler-mappings/`: which handler gets which change."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.fields import NameField
from api.rows import NoteSerializer, RowSerializer
from api.views import SettingsViewSet
from handlers import registry
from handlers.checks import unregistered_message
from handlers.models import HandlerMapping
from listeners.models import Listener


class HandlerSerializer(RowSerializer[HandlerMapping]):
    """Without its listener: as an item of a new listener's `handlers`."""

    unchecked = frozenset({"listener"})

    class Meta:
        model = HandlerMapping
        exclude: tuple[str, ...] = ("listener",)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        cleaned = super().validate(attrs)
        stored = self.instance or HandlerMapping()
        handler = registry.find(cleaned.get("handler", stored.handler))
        if handler is not None and handler.check_options:
            try:
                handler.check_options(cleaned.get("options", stored.options))
            except ValueError as error:
                message = f"{handler.name}: {error}."
                raise serializers.ValidationError({"options": message}) from None
        return cleaned


class HandlerMappingSerializer(HandlerSerializer):
    """A kind of change, and who gets it. `warnings` may say that nobody does, yet."""

    listener = NameField(queryset=Listener.objects.all())
    warnings = serializers.SerializerMethodField()

    unchecked = frozenset()

    class Meta(HandlerSerializer.Meta):
        exclude = ()

    @extend_schema_field(NoteSerializer(many=True))
    def get_warnings(self, mapping: HandlerMapping) -> list[dict[str, str]]:
        """A handler may come later; until then its deliveries wait."""
        if not mapping.handler or registry.find(mapping.handler):
            return []
        return [{"field": "handler", "message": unregistered_message(mapping.handler)}]

    def validate_listener(self, listener: Listener) -> Listener:
        if self.instance and self.instance.listener_id != listener.pk:
            raise serializers.ValidationError(
                "A mapping stays with its listener: make another one, and delete this."
            )
        return listener


class MappingFilter(filters.FilterSet):
    listener = filters.CharFilter("listener__name", help_text="A listener's name.")
    on = filters.ChoiceFilter(choices=HandlerMapping.On.choices)
    entity = filters.CharFilter(help_text="As the mapping has it: a name, or *.")
    handler = filters.CharFilter()
    task = filters.CharFilter()


class MappingViewSet(SettingsViewSet[HandlerMapping]):
    """Which handler, or which Celery task, gets which change of a listener."""

    queryset = HandlerMapping.objects.select_related("listener")
    serializer_class = HandlerMappingSerializer
    filterset_class = MappingFilter
    ordering = ("id",)
