"""Requests and responses of redeliveries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api.protocol.rows import flaws
from api.protocol.views import ReadViewSet, asked
from audit.action_log import Actor
from handlers.models import Delivery, Redelivery
from handlers.redelivery.request import (
    Counts,
    RedeliveryRequest,
    TooMany,
    Verdict,
    counts_of,
    total,
)
from handlers.redelivery.start import COUNT_SECONDS, begin, counted, in_a_request, overtaken
from listeners.access.permissions import REDELIVER
from listeners.clock import database_clock

M = TypeVar("M", bound=Model)


class StrictSerializer(serializers.Serializer[Any]):
    """A serializer that refuses unknown fields."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (found := flaws(data, self.fields)):
            raise serializers.ValidationError(found)
        return super().to_internal_value(data)


class ReasonSerializer(StrictSerializer):
    reason = serializers.CharField(
        default="", allow_blank=True, max_length=10_000, help_text="The reason, which is recorded."
    )


class RedeliverSerializer(ReasonSerializer):
    as_recorded = serializers.BooleanField(
        default=False,
        help_text="Send overtaken changes as they were recorded. Otherwise they have the current "
        "values of their fields, and changes of deleted records are skipped.",
    )


class CountSerializer(serializers.Serializer[Any]):
    handler = serializers.CharField()
    state = serializers.CharField(help_text="The state before. Empty: there was no delivery yet.")
    verdict = serializers.ChoiceField(choices=[verdict.value for verdict in Verdict])
    reason = serializers.CharField(help_text="Why these cannot be redelivered.")
    count = serializers.IntegerField()


class CountsSerializer(serializers.Serializer[Any]):
    """The numbers of deliveries by outcome; so far, unless `state` is `done`."""

    redelivery = serializers.IntegerField(allow_null=True, help_text="null for a dry run.")
    state = serializers.ChoiceField(
        choices=Redelivery.State.choices, allow_null=True, help_text="null for a dry run."
    )
    total = serializers.IntegerField(
        allow_null=True, help_text="The number of requested deliveries. null for a dry run."
    )
    done = serializers.IntegerField(
        allow_null=True, help_text="The number of processed deliveries. null for a dry run."
    )
    sent_again = serializers.IntegerField()
    first_time = serializers.IntegerField(help_text="Sent to mappings without a delivery of them.")
    on_its_way = serializers.IntegerField(help_text="Already queued or running.")
    ended_since = serializers.IntegerField(help_text="Succeeded since they were selected.")
    not_possible = serializers.IntegerField()
    overtaken = serializers.IntegerField(
        allow_null=True,
        help_text="For a dry run, the number that later changes of their records have overtaken. "
        "null: too many to count, or no dry run.",
    )
    counts = CountSerializer(many=True)


def start(redelivery_request: RedeliveryRequest) -> tuple[dict[str, Any], bool]:
    """Start a redelivery; return the data of a `CountsSerializer`, and whether all is done."""
    with _refused():
        redelivery = begin(redelivery_request, database_clock.now())
    return _counts_data(
        counts_of(redelivery), redelivery
    ), redelivery.state == Redelivery.State.DONE


def preview(redelivery_request: RedeliveryRequest) -> dict[str, Any]:
    """Return the data of a `CountsSerializer` for a dry run."""
    with _refused(), in_a_request():
        return _counts_data(counted(redelivery_request)) | {
            "overtaken": overtaken(redelivery_request, COUNT_SECONDS)
        }


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except TooMany as error:
        raise serializers.ValidationError(str(error)) from None


def _counts_data(counts: Counts, redelivery: Redelivery | None = None) -> dict[str, Any]:
    return {
        "redelivery": redelivery.pk if redelivery else None,
        "state": redelivery.state if redelivery else None,
        "total": redelivery.total if redelivery else None,
        "done": redelivery.done if redelivery else None,
        **{verdict.value: total(counts, verdict) for verdict in Verdict},
        "overtaken": None,
        "counts": rows_of(counts),
    }


def rows_of(counts: Counts) -> list[dict[str, Any]]:
    return [
        {
            "handler": row.handler,
            "state": row.state,
            "verdict": row.verdict.value,
            "reason": row.reason,
            "count": number,
        }
        for row, number in sorted(counts.items())
    ]


class Redeliverable(ReadViewSet[M]):
    """Rows whose deliveries can be redelivered."""

    takes = {"redeliver": REDELIVER}

    def deliveries_of(self, row: M) -> QuerySet[Delivery]:
        raise NotImplementedError

    @extend_schema(
        request=RedeliverSerializer, responses={200: CountsSerializer, 202: CountsSerializer}
    )
    @action(detail=True, methods=["post"])
    def redeliver(self, request: Request, **_: Any) -> Response:
        """Redeliver it to its handlers, in any state; 202 if workers continue the redelivery."""
        row = self.get_object()
        given = asked(RedeliverSerializer, request)
        redelivery_request = RedeliveryRequest(
            by=Actor.by_api(request),
            deliveries=self.deliveries_of(row),
            reason=given["reason"],
            criteria={str(row._meta.verbose_name): row.pk},
            as_recorded=given["as_recorded"],
        )
        counts, is_done = start(redelivery_request)
        return Response(counts, status=200 if is_done else 202)
