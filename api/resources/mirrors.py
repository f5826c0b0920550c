"""`mirrors/`: local copies of Salesforce objects."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api.protocol.fields import NameField
from api.protocol.problems import Conflict
from api.protocol.rows import RowSerializer
from api.protocol.views import SettingsViewSet, asked
from api.resources.redelivering import ReasonSerializer, StrictSerializer
from audit.action_log import Actor
from audit.log.masking import Sight
from listeners.access.permissions import OPERATE
from listeners.models import Listener
from mirror import service
from mirror.models import Difference, Mirror, MirrorRun
from mirror.requirements import Refused
from mirror.status import STATES, MirrorStatus, status_of

_FIXED = "The {} of a mirror cannot be changed: delete the mirror, and create a new one."


class ProgressSerializer(serializers.Serializer[Any]):
    """The run in progress. `waits_for` says what it waits for; empty: for nothing."""

    run = serializers.IntegerField(help_text="The id of the run.")
    kind = serializers.ChoiceField(choices=MirrorRun.Kind.choices)
    state = serializers.ChoiceField(choices=MirrorRun.State.choices)
    done = serializers.IntegerField(help_text="Rows processed.")
    total = serializers.IntegerField(allow_null=True, help_text="Rows to process.")
    percent = serializers.IntegerField(allow_null=True)
    rows_per_second = serializers.FloatField(allow_null=True)
    seconds_left = serializers.IntegerField(allow_null=True)
    waits_for = serializers.CharField()


class MirrorSerializer(RowSerializer[Mirror]):
    """A mirror. `reason` explains the state `attention`, or says why no changes arrive.

    Every change that was committed until `in_sync_as_of` is in the rows; null: not proven.
    """

    listener = NameField(queryset=Listener.objects.all())
    object = serializers.CharField(source="salesforce_object", read_only=True)
    state = serializers.SerializerMethodField()
    reason = serializers.SerializerMethodField()
    rows = serializers.SerializerMethodField()
    in_sync_as_of = serializers.SerializerMethodField()
    differences = serializers.SerializerMethodField()
    progress = serializers.SerializerMethodField()

    unchecked = frozenset({"created_at", "model", "salesforce_object"})

    class Meta:
        model = Mirror
        fields = (
            *("id", "model", "object", "listener", "database", "deletes", "verify"),
            *("state", "reason", "rows", "rows_in_salesforce", "in_sync_as_of"),
            *("last_verified_at", "differences", "progress", "created_at"),
        )

    def to_representation(self, instance: Mirror) -> Any:
        self._status: MirrorStatus = status_of(instance, timezone.now())
        return super().to_representation(instance)

    @extend_schema_field(serializers.ChoiceField(choices=STATES))
    def get_state(self, mirror: Mirror) -> str:
        return self._status.state

    def get_reason(self, mirror: Mirror) -> str:
        return self._status.reason

    def get_rows(self, mirror: Mirror) -> int | None:
        return self._status.rows

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_in_sync_as_of(self, mirror: Mirror) -> Any:
        moment = self._status.in_sync_as_of
        return serializers.DateTimeField().to_representation(moment) if moment else None

    def get_differences(self, mirror: Mirror) -> int:
        """The number of differences that are not repaired."""
        return self._status.differences

    @extend_schema_field(ProgressSerializer(allow_null=True))
    def get_progress(self, mirror: Mirror) -> Any:
        progress = self._status.progress
        return progress.to_dict() if progress else None

    def validate_model(self, label: str) -> str:
        self._refuse_change("model", label)
        return label

    def validate_listener(self, listener: Listener) -> Listener:
        self._refuse_change("listener", listener)
        return listener

    def validate_database(self, alias: str) -> str:
        self._refuse_change("database", alias)
        return alias

    def _refuse_change(self, name: str, value: Any) -> None:
        if self.instance and getattr(self.instance, name) != value:
            raise serializers.ValidationError(_FIXED.format(name))


class RunSerializer(serializers.ModelSerializer[MirrorRun]):
    """A run: its progress, `done` of `total` rows, and its `report`.

    `is_right` says whether a run that is done proved what it was to prove.
    """

    class Meta:
        model = MirrorRun
        exclude = ("mirror", "cursor", "tries", "due_at", "claimed_until")


class DifferenceSerializer(serializers.ModelSerializer[Difference]):
    """A value that differed: `here` in the mirror and `there` in Salesforce. An empty `field` is
    the whole record. Values of sensitive fields are masked."""

    class Meta:
        model = Difference
        exclude = ("mirror",)

    def to_representation(self, instance: Difference) -> Any:
        shown = super().to_representation(instance)
        mirror, sight = instance.mirror, Sight.elsewhere(self.context["request"].user)
        for side in ("here", "there"):
            about = (mirror.listener, mirror.salesforce_object, instance.field)
            shown[side] = sight.value(shown[side], *about)
        return shown


class VerifySerializer(StrictSerializer):
    depth = serializers.ChoiceField(
        choices=service.DEPTHS,
        default="full",
        help_text="counts: counts and newest modification by time of creation, and changed ids "
        "against the audit log; ids: also all ids; sample: also every field of some records; full: "
        "every field of every record.",
    )


class RepairSerializer(StrictSerializer):
    accept_deletions = serializers.BooleanField(
        default=False,
        help_text="Mark rows as deleted even if many records are absent from Salesforce, as when "
        "the connection's user has lost access to them.",
    )


class MirrorFilter(filters.FilterSet):
    listener = filters.CharFilter("listener__name", help_text="The name of a listener.")
    object = filters.CharFilter("salesforce_object")
    model = filters.CharFilter()


class RunFilter(filters.FilterSet):
    kind = filters.ChoiceFilter(choices=MirrorRun.Kind.choices)
    state = filters.ChoiceFilter(choices=MirrorRun.State.choices)


class DifferenceFilter(filters.FilterSet):
    open = filters.BooleanFilter(
        "repaired_at", lookup_expr="isnull", help_text="Whether the difference is not repaired."
    )
    reason = filters.ChoiceFilter(choices=Difference.Reason.choices)
    record_id = filters.CharFilter()


class MirrorViewSet(SettingsViewSet[Mirror]):
    """Mirrors: Salesforce objects as tables, kept equal by a listener."""

    queryset: QuerySet[Mirror] = Mirror.objects.select_related("listener", "listener__connection")
    serializer_class = MirrorSerializer
    filterset_class = MirrorFilter
    owner = "listener_id"
    ordering = ("model",)
    takes = dict.fromkeys(("load", "verify", "repair", "cancel"), OPERATE) | dict.fromkeys(
        ("runs", "differences"), "mirror.view_mirror"
    )

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Create a mirror and load it. Asks the org whether the user may read the object."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        given = dict(serializer.validated_data)
        try:
            mirror = service.add(**given, by=Actor.by_api(request))
        except Refused as refused:
            raise _invalid(refused) from None
        return Response(self.get_serializer(mirror).data, status=201)

    def perform_destroy(self, instance: Mirror) -> None:
        try:
            service.remove(instance, Actor.by_api(self.request))
        except Refused as refused:
            raise Conflict(str(refused)) from None

    @extend_schema(request=None, responses={202: RunSerializer})
    @action(detail=True, methods=["post"])
    def load(self, request: Request, **_: Any) -> Response:
        """Load all records again, beside the stream. A load in progress is returned instead."""
        return self._requested(request, MirrorRun.Kind.LOAD)

    @extend_schema(request=VerifySerializer, responses={202: RunSerializer})
    @action(detail=True, methods=["post"])
    def verify(self, request: Request, **_: Any) -> Response:
        """Compare the rows with Salesforce. A verification in progress is returned instead."""
        depth = asked(VerifySerializer, request)
        return self._requested(request, MirrorRun.Kind.VERIFY, depth)

    @extend_schema(request=RepairSerializer, responses={202: RunSerializer})
    @action(detail=True, methods=["post"])
    def repair(self, request: Request, **_: Any) -> Response:
        """Read the records of all open differences again. A repair in progress is returned."""
        return self._requested(request, MirrorRun.Kind.REPAIR, asked(RepairSerializer, request))

    @extend_schema(
        request=ReasonSerializer,
        responses=RunSerializer,
        parameters=[OpenApiParameter("run", OpenApiTypes.INT, OpenApiParameter.PATH)],
    )
    @action(detail=True, methods=["post"], url_path=r"runs/(?P<run>[0-9]{1,18})/cancel")
    def cancel(self, request: Request, run: str, **_: Any) -> Response:
        """Cancel a run. Rows that it wrote stay."""
        found = get_object_or_404(self.get_object().runs, pk=run)
        reason = asked(ReasonSerializer, request)["reason"]
        if not service.cancel_run(found, Actor.by_api(request), reason):
            raise Conflict("The run has already ended.")
        found.refresh_from_db()
        return Response(RunSerializer(found).data)

    @extend_schema(operation_id="mirrors_runs_list", responses=RunSerializer(many=True))
    @action(detail=True, filterset_class=RunFilter, ordering=("-id",))
    def runs(self, request: Request, **_: Any) -> Response:
        """The runs of a mirror: loads, sweeps, verifications and repairs, newest first."""
        page: Any = self._page(MirrorRun.objects.all())
        return self.get_paginated_response(RunSerializer(page, many=True).data)

    @extend_schema(
        operation_id="mirrors_differences_list", responses=DifferenceSerializer(many=True)
    )
    @action(detail=True, filterset_class=DifferenceFilter, ordering=("-id",))
    def differences(self, request: Request, **_: Any) -> Response:
        """The differences that verifications found, newest first."""
        page: Any = self._page(Difference.objects.select_related("mirror__listener"))
        rows = DifferenceSerializer(page, many=True, context=self.get_serializer_context())
        return self.get_paginated_response(rows.data)

    def _page(self, rows: QuerySet[Any]) -> Any:
        """Return a page of the mirror's rows that match the filters."""
        mirror = get_object_or_404(self.get_queryset(), pk=self.kwargs["pk"])
        self.check_object_permissions(self.request, mirror)
        return self.paginate_queryset(self.filter_queryset(rows.filter(mirror=mirror)))

    def _requested(
        self, request: Request, kind: str, options: dict[str, Any] | None = None
    ) -> Response:
        mirror = self.get_object()
        run = service.request_run(mirror, kind, options, Actor.by_api(request))
        return Response(RunSerializer(run).data, status=202)


def _invalid(refused: Refused) -> serializers.ValidationError:
    return serializers.ValidationError({refused.field or "non_field_errors": [str(refused)]})
