"""Query parameters of lists. Unknown or empty parameters are refused."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from django import forms
from django.db.models import QuerySet
from django_filters.fields import IsoDateTimeField
from django_filters.rest_framework import (
    BooleanFilter,
    DjangoFilterBackend,
    Filter,
    IsoDateTimeFilter,
)
from rest_framework.exceptions import ValidationError
from rest_framework.settings import api_settings

from api.protocol.rows import unknown_fields

_BOOLEANS = ("true", "false")
EMPTY = "Give a value, or leave out the parameter."


class WholeNumberFilter(Filter):
    field_class = forms.IntegerField


class _MomentField(IsoDateTimeField):
    def clean(self, value: Any) -> Any:
        """Convert the time to UTC: PostgreSQL refuses offsets of 16 hours or more."""
        moment = super().clean(value)
        try:
            return moment and moment.astimezone(UTC)
        except OverflowError:
            raise forms.ValidationError(
                "Give a time between the years 1 and 9999 in UTC."
            ) from None


class MomentFilter(IsoDateTimeFilter):
    field_class = _MomentField


class StrictFilters(DjangoFilterBackend):
    def filter_queryset(self, request: Any, queryset: QuerySet[Any], view: Any) -> Any:
        filters = self.get_filterset_class(view, queryset)
        paginator = getattr(view, "paginator", None)
        paging = ("cursor_query_param", "page_size_query_param")
        known = [
            *(filters.base_filters if filters else ()),
            *(getattr(paginator, name) for name in paging if paginator),
            api_settings.URL_FORMAT_OVERRIDE,
        ]
        found = unknown_fields(request.query_params, known, what="parameter")
        for name, value in request.query_params.items():
            if not value:
                found[name] = EMPTY
            elif filters and isinstance(filters.base_filters.get(name), BooleanFilter):
                # The form would ignore an unknown value.
                found |= {} if value.lower() in _BOOLEANS else {name: "Give true or false."}
        if found:
            raise ValidationError(found)
        return super().filter_queryset(request, queryset, view)
