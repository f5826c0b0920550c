"""`incidents/`: problems that an operator should know about."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api.protocol.problems import Conflict
from api.protocol.views import ReadViewSet, asked
from api.resources.redelivering import StrictSerializer
from audit import incidents
from audit.action_log import Actor
from audit.models import Incident
from listeners.access.permissions import CLOSE

LONGEST_NOTE = 1000


class IncidentSerializer(serializers.ModelSerializer[Incident]):
    listener = serializers.CharField(source="listener.name", default=None, allow_null=True)
    open = serializers.BooleanField(source="is_open")

    class Meta:
        model = Incident
        exclude = ("told", "notify_due_at", "notify_attempts")


class ClosingSerializer(StrictSerializer):
    note = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=LONGEST_NOTE,
        help_text="Why the incident can be closed.",
    )


class IncidentFilter(filters.FilterSet):
    listener = filters.CharFilter("listener__name", help_text="The name of a listener.")
    kind = filters.ChoiceFilter(choices=Incident.Kind.choices)
    open = filters.BooleanFilter("closed_at", lookup_expr="isnull")


class IncidentViewSet(ReadViewSet[Incident]):
    """Incidents: what happened, when, what the platform does about it, and what to do."""

    queryset = Incident.objects.select_related("listener")
    serializer_class = IncidentSerializer
    filterset_class = IncidentFilter
    owner = "listener_id"
    takes = {"acknowledge": CLOSE, "close": CLOSE}

    @extend_schema(request=ClosingSerializer, responses=IncidentSerializer)
    @action(detail=True, methods=["post"])
    def close(self, request: Request, **_: Any) -> Response:
        """Close an incident by hand. If the problem occurs again, a new incident is opened."""
        note = asked(ClosingSerializer, request)["note"]
        incident, by = self.get_object(), Actor.by_api(request)
        if not incidents.close(incident, by, note, timezone.now()):
            raise Conflict("The incident is already closed.")
        return self.shown()

    @extend_schema(request=None, responses=IncidentSerializer)
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, **_: Any) -> Response:
        """Acknowledge an incident, which stays open."""
        incident, by = self.get_object(), Actor.by_api(request)
        if not incidents.acknowledge(incident, by, timezone.now()):
            raise Conflict("The incident is already closed or acknowledged.")
        return self.shown()
