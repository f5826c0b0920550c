"""Sending recorded changes to their handlers again: what is asked, and what is answered."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ReadOnlyModelViewSet

from api.rows import unknown_fields
from audit.actions import Actor
from handlers.models import Delivery
from handlers.redeliver import counted, redeliver
from handlers.redelivery import Verdict, Wish, total
from listeners.permissions import REDELIVER

M = TypeVar("M", bound=Model)


class StrictSerializer(serializers.Serializer[Any]):
    """A field that does nothing is refused."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := unknown_fields(data, self.fields)):
            raise serializers.ValidationError(unknown)
        return super().to_internal_value(data)


class ReasonSerializer(StrictSerializer):
    reason = serializers.CharField(
        default="", allow_blank=True, max_length=10_000, help_text="Kept with the attempts."
    )


class CountSerializer(serializers.Serializer[Any]):
    handler = serializers.CharField()
    state = serializers.CharField(help_text="Before. Empty: there was no delivery yet.")
    verdict = serializers.ChoiceField(choices=[verdict.value for verdict in Verdict])
    reason = serializers.CharField(help_text="Why it is not possible.")
    count = serializers.IntegerField()


class CountsSerializer(serializers.Serializer[Any]):
    """How many deliveries were sent again, and how many were not, and why."""

    redelivery = serializers.IntegerField(allow_null=True, help_text="null: it was a dry run.")
    sent_again = serializers.IntegerField()
    first_time = serializers.IntegerField(help_text="Sent to a mapping that never had them.")
    on_its_way = serializers.IntegerField(help_text="On their way already, and left alone.")
    not_possible = serializers.IntegerField()
    counts = CountSerializer(many=True)


def answered(wish: Wish, *, dry_run: bool = False) -> dict[str, Any]:
    """Do it, or count what would be done; the data of a `CountsSerializer`."""
    redelivery, counts = (None, counted(wish)) if dry_run else redeliver(wish, timezone.now())
    return {
        "redelivery": redelivery.pk if redelivery else None,
        **{verdict.value: total(counts, verdict) for verdict in Verdict},
        "counts": [
            {
                "handler": row.handler,
                "state": row.state,
                "verdict": row.verdict.value,
                "reason": row.reason,
                "count": number,
            }
            for row, number in sorted(counts.items())
        ],
    }


class Redeliverable(ReadOnlyModelViewSet[M]):
    """Rows whose deliveries can be sent again."""

    takes = {"redeliver": REDELIVER}

    def deliveries_of(self, row: M) -> QuerySet[Delivery]:
        raise NotImplementedError

    @extend_schema(request=ReasonSerializer, responses=CountsSerializer)
    @action(detail=True, methods=["post"])
    def redeliver(self, request: Request, **_: Any) -> Response:
        """Send it to its handlers again, whatever became of it."""
        row = self.get_object()
        asked = ReasonSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        wish = Wish(
            by=Actor.by_api(request),
            deliveries=self.deliveries_of(row),
            reason=asked.validated_data["reason"],
            criteria={str(row._meta.verbose_name): row.pk},
        )
        return Response(answered(wish))
