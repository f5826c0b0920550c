"""`status/`: the status of listeners, as in `cdc_status`, and the online workers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.protocol.etags import Tagged
from api.protocol.views import Reached
from cdcproject.version import __version__
from consumer.status.listeners import ListenerStatus, by_listener
from handlers.models import Worker
from handlers.reporting import queue_coverage
from handlers.reporting.backlog import STATES, Backlog, backlog
from listeners.access.permissions import may
from listeners.listener_state import STATES as STANDINGS
from listeners.models import Listener

_COUNTS = {
    "type": "object",
    "properties": {state.value: {"type": "integer"} for state in STATES},
    "required": [state.value for state in STATES],
}


class UsageSerializer(serializers.Serializer[Any]):
    """The events that Salesforce delivered in 24 hours, and the org's daily limit."""

    delivered = serializers.IntegerField()
    org_delivered = serializers.IntegerField(help_text="Delivered to all listeners of the org.")
    org_limit = serializers.IntegerField(allow_null=True)
    org_remaining = serializers.IntegerField(allow_null=True)
    org_read_at = serializers.DateTimeField(allow_null=True)


@extend_schema_field({"oneOf": [_COUNTS, {"type": "null"}]})
class BacklogField(serializers.DictField):
    """The numbers of unended and dead deliveries by state."""


class PausedHandlerSerializer(serializers.Serializer[Any]):
    on = serializers.CharField()
    entity = serializers.CharField()
    handler = serializers.CharField()
    since = serializers.DateTimeField()
    by = serializers.CharField()
    reason = serializers.CharField()
    waiting = serializers.IntegerField(
        allow_null=True, help_text="null without the permission to view deliveries."
    )
    or_more = serializers.BooleanField()


class ListenerStatusSerializer(serializers.Serializer[Any]):
    listener = serializers.CharField()
    transport = serializers.ChoiceField(choices=Listener.Transport.choices)
    enabled = serializers.BooleanField()
    state = serializers.ChoiceField(choices=STANDINGS)
    reason = serializers.CharField(allow_null=True)
    leader = serializers.CharField(
        allow_null=True, help_text="The process that holds a live lease."
    )
    last_event_at = serializers.DateTimeField(allow_null=True)
    last_received_at = serializers.DateTimeField(allow_null=True)
    lag_seconds = serializers.FloatField(
        allow_null=True, help_text="From the commit of the last change to its receipt."
    )
    runway_hours = serializers.FloatField(
        allow_null=True, help_text="Hours until the stored position expires in Salesforce."
    )
    replay_id = serializers.CharField(allow_null=True)
    backlog = BacklogField(
        allow_null=True,
        help_text="Deliveries by state; null without the permission to view deliveries.",
    )
    open_incidents = serializers.IntegerField(
        allow_null=True, help_text="null without the permission to view incidents."
    )
    paused_handlers = PausedHandlerSerializer(many=True)
    usage = UsageSerializer()


class WorkerSerializer(serializers.ModelSerializer[Worker]):
    is_live = serializers.BooleanField(help_text="false: it crashed or was killed recently.")
    queues = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = Worker
        exclude = ("id",)
        read_only_fields = ("version",)


class StatusSerializer(serializers.Serializer[Any]):
    listeners = ListenerStatusSerializer(many=True)
    capped = serializers.ListField(
        child=serializers.CharField(),
        help_text="States with more deliveries than are counted, which is 10,000 for all listeners "
        "together.",
    )
    version = serializers.CharField(help_text="The version of this web server.")
    workers = WorkerSerializer(
        many=True, allow_null=True, help_text="null without the permission to view workers."
    )


class StatusViewSet(Tagged, Reached[Listener]):
    """The status of listeners and workers, in a fixed number of queries."""

    queryset = Listener.objects.all()
    owner = "pk"
    pagination_class = None
    filter_backends = ()

    @extend_schema(responses=StatusSerializer)
    def retrieve(self, request: Request) -> Response:
        """The status of each listener, and the workers."""
        now = timezone.now()
        sees_some = self.sees is not None
        deliveries = sees_some or may(request.user, "handlers.view_delivery")
        incidents = sees_some or may(request.user, "audit.view_incident")
        waiting = backlog() if deliveries else Backlog()
        found = [
            _shown(status, deliveries=deliveries, incidents=incidents)
            for listener, status in by_listener(now, waiting)
            if self.sees is None or listener.pk in self.sees
        ]
        sees_workers = may(request.user, "handlers.view_worker")
        answer = {
            "listeners": found,
            "capped": sorted(waiting.capped),
            "version": __version__,
            "workers": queue_coverage.seen() if sees_workers else None,
        }
        return Response(StatusSerializer(answer).data)


def _shown(status: ListenerStatus, *, deliveries: bool, incidents: bool) -> dict[str, Any]:
    shown = asdict(status)
    counts = {state.value: status.backlog[state.value] for state in STATES}
    if not deliveries:
        shown["paused_handlers"] = [
            paused | {"waiting": None} for paused in shown["paused_handlers"]
        ]
    return shown | {
        "backlog": counts if deliveries else None,
        "open_incidents": status.open_incidents if incidents else None,
    }
