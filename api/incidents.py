"""`incidents/`: what an operator should know."""

from __future__ import annotations

from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.viewsets import ReadOnlyModelViewSet

from audit.models import Incident


class IncidentSerializer(serializers.ModelSerializer[Incident]):
    listener = serializers.CharField(source="listener.name")
    open = serializers.BooleanField(source="is_open")

    class Meta:
        model = Incident
        fields = "__all__"


class IncidentFilter(filters.FilterSet):
    listener = filters.CharFilter("listener__name", help_text="A listener's name.")
    kind = filters.ChoiceFilter(choices=Incident.Kind.choices)
    open = filters.BooleanFilter("closed_at", lookup_expr="isnull")


class IncidentViewSet(ReadOnlyModelViewSet[Incident]):
    """What happened, in which window, and what to do about it."""

    queryset = Incident.objects.select_related("listener")
    serializer_class = IncidentSerializer
    filterset_class = IncidentFilter
