"""`actions/`: what operators did."""

from __future__ import annotations

from django_filters import rest_framework as filters
from rest_framework import serializers

from api.protocol.filtering import MomentFilter
from api.protocol.views import ReadViewSet
from audit.models import OperatorAction


class ActionSerializer(serializers.ModelSerializer[OperatorAction]):
    class Meta:
        model = OperatorAction
        exclude = ("user",)


class ActionFilter(filters.FilterSet):
    who = filters.CharFilter(help_text="A user's name.")
    through = filters.ChoiceFilter(choices=OperatorAction.Through.choices)
    action = filters.ChoiceFilter(choices=OperatorAction.Action.choices)
    object_type = filters.CharFilter(help_text="Such as listener.")
    object_id = filters.CharFilter()
    since = MomentFilter("at", lookup_expr="gte", help_text="Then or later; UTC.")
    until = MomentFilter("at", lookup_expr="lt", help_text="Before this time; UTC.")


class ActionViewSet(ReadViewSet[OperatorAction]):
    """Who did what to what, by which way, and why. Nothing of it is ever changed."""

    queryset = OperatorAction.objects.all()
    serializer_class = ActionSerializer
    filterset_class = ActionFilter
