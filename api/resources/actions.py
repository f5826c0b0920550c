"""`actions/`: the action log."""

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
    who = filters.CharFilter(help_text="The name of a user.")
    through = filters.ChoiceFilter(choices=OperatorAction.Through.choices)
    action = filters.ChoiceFilter(choices=OperatorAction.Action.choices)
    object_type = filters.CharFilter(help_text="The type of the object, such as listener.")
    object_id = filters.CharFilter()
    since = MomentFilter("at", lookup_expr="gte", help_text="At this time or later; UTC.")
    until = MomentFilter("at", lookup_expr="lt", help_text="Before this time; UTC.")


class ActionViewSet(ReadViewSet[OperatorAction]):
    """The actions of operators: who, on which object, through which interface, and why."""

    queryset = OperatorAction.objects.all()
    serializer_class = ActionSerializer
    filterset_class = ActionFilter
