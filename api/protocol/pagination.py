"""Cursor pagination: stable while rows are added, and without counting millions of rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.views import APIView

from audit.db.keyset import beside, position
from listeners.values import is_storable_text

_NUMBER = re.compile(r"[0-9]{1,9}")


class Pages(CursorPagination):
    """Pages of `?page_size=` up to 1000 rows; `next` and `previous` are URLs, or null at an end."""

    #: Newest first, unless the view has an `ordering`, which must be by a unique field.
    ordering = ("-id",)
    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 1000
    _pages_by = ""

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the schema without DRF's examples, which do not fit this API."""
        shape: dict[str, Any] = super().get_paginated_response_schema(schema)
        for link in ("next", "previous"):
            shape["properties"][link].pop("example")
        return shape

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = super().get_schema_operation_parameters(view)
        for parameter in found:
            if parameter["name"] == self.page_size_query_param:
                parameter["schema"] |= {"minimum": 1, "maximum": self.max_page_size}
        return found

    def get_page_size(self, request: Request) -> int:
        size = request.query_params.get(self.page_size_query_param)
        if size is None:
            return self.page_size
        if not _NUMBER.fullmatch(size) or not 1 <= int(size) <= self.max_page_size:
            raise ValidationError(
                {self.page_size_query_param: f"Give a number from 1 to {self.max_page_size}."}
            )
        return int(size)

    def get_ordering(
        self, request: Request, queryset: QuerySet[Any], view: APIView
    ) -> tuple[str, ...]:
        found: tuple[str, ...] = getattr(view, "ordering", self.ordering)
        return found

    def decode_cursor(self, request: Request) -> Cursor | None:
        cursor: Cursor | None = super().decode_cursor(request)
        if cursor and not is_storable_text(str(cursor.position)):
            raise ValueError
        return cursor

    def paginate_queryset(
        self,
        queryset: QuerySet[Any] | Sequence[Any],
        request: Request,
        view: APIView | None = None,
    ) -> list[Any] | None:
        by, within = getattr(view, "pages_by", ("", ""))
        self._pages_by = by
        try:
            if by and isinstance(queryset, QuerySet):
                return self._page(queryset, request, by, within)
            return super().paginate_queryset(queryset, request, view)
        except ValueError:  # the client changed the cursor
            raise NotFound("Invalid cursor") from None

    def _page(
        self, queryset: QuerySet[Any], request: Request, by: str, within: str
    ) -> list[Any] | None:
        """Return a page ordered by a non-unique field and the id, which an index supports."""
        self.base_url = request.build_absolute_uri()
        size = self.get_page_size(request)
        cursor = self.decode_cursor(request)
        begin = str(cursor.position or "") if cursor else ""
        back = bool(cursor and cursor.reverse and begin)
        before, after = ("", begin) if back else (begin, "")
        found = list(beside(queryset, by, before=before, after=after, within=within)[: size + 1])
        more = len(found) > size
        self.has_next, self.has_previous = (True, more) if back else (more, bool(begin))
        page = found[:size]
        self.page = page[::-1] if back else page
        return self.page

    def get_next_link(self) -> str | None:
        if not self._pages_by:
            return super().get_next_link()
        return self._link(self.page[-1]) if self.page and self.has_next else None

    def get_previous_link(self) -> str | None:
        if not self._pages_by:
            return super().get_previous_link()
        return self._link(self.page[0], reverse=True) if self.page and self.has_previous else None

    def _link(self, row: Any, *, reverse: bool = False) -> str:
        place: Any = position(row, self._pages_by)
        link: str = self.encode_cursor(Cursor(offset=0, reverse=reverse, position=place))
        return link
