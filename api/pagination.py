"""Pages by cursor: the next page goes on where the last one ended, whatever was added meanwhile,
and nothing counts a log of millions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.views import APIView


class Pages(CursorPagination):
    """`?page_size=` up to 1000; `next` and `previous` are addresses, or null at an end."""

    #: The newest first, unless the view has an order of its own. It must be of a unique field.
    ordering = ("-id",)
    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 1000

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Without DRF's examples, which are of some other API."""
        shape: dict[str, Any] = super().get_paginated_response_schema(schema)
        for link in ("next", "previous"):
            shape["properties"][link].pop("example")
        return shape

    def get_ordering(
        self, request: Request, queryset: QuerySet[Any], view: APIView
    ) -> tuple[str, ...]:
        found: tuple[str, ...] = getattr(view, "ordering", self.ordering)
        return found

    def paginate_queryset(
        self,
        queryset: QuerySet[Any] | Sequence[Any],
        request: Request,
        view: APIView | None = None,
    ) -> list[Any] | None:
        try:
            return super().paginate_queryset(queryset, request, view)
        except ValueError:  # a cursor that somebody wrote by hand
            raise NotFound("Invalid cursor") from None
