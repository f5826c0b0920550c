"""Keyset pagination of long lists: every page costs the same, and rows are not counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Model, QuerySet
from django.http import HttpRequest, QueryDict
from unfold.views import ChangeList

from audit.db.keyset import BadPosition, beside, position
from audit.db.row_count import TookTooLong, time_limit
from console.admin.read_only import CappedPaginator

BEFORE, AFTER = "before", "after"
#: Rows read at once when all are wanted; the first chunk is small so that output starts soon.
CHUNK, FIRST_CHUNK = 1000, 100
#: A list query that takes longer is cancelled.
SECONDS = 10
_GIVEN_UP = (
    f"The search was cancelled after {SECONDS} seconds. Add a filter, such as a time or an entity."
)


class PagePaginator(CappedPaginator):
    """A paginator of one page; the list links to the pages before and after it."""

    template_name = "console/pagination_keyset.html"


class KeysetChangeList(ChangeList):
    """A list ordered by `id`, newest first, or by the `orders_by` field of an active filter.

    The order follows the filter so that the filter's index finds the page; `within` names the
    field that the index begins with. `older` and `newer` link to the adjacent pages, or are empty.
    """

    older = newer = newest = ""
    #: Whether the query took too long, so that nothing is known about its rows.
    is_cancelled = False

    def get_filters(self, request: HttpRequest) -> Any:
        """Remove the position from the filters: a new search or filter starts at the newest row."""
        self.position = {}
        for name in (BEFORE, AFTER):
            if value := self.params.pop(name, None):
                self.position[name] = value
            self.filter_params.pop(name, None)
        # unfold's filter form keeps every other parameter of the address.
        given = request.GET.copy()
        for name in self.position:
            del given[name]
        request.GET = QueryDict(given.urlencode())
        return super().get_filters(request)

    def get_results(self, request: HttpRequest) -> None:
        after, before = self._position
        try:
            with time_limit(SECONDS):
                found = list(self.page_query())
        except TookTooLong:
            messages.warning(request, _GIVEN_UP)
            self.is_cancelled = True
            found = []
        page = found[: self.list_per_page]
        has_more = len(found) > len(page)
        if after:
            page.reverse()
        self._show(page)
        if page:
            older, newer = (True, has_more) if after else (has_more, bool(before))
            self._link(page, older=older, newer=newer)

    def page_query(self) -> QuerySet[Any]:
        """Return the query of the page's rows and one more, which tells whether a page follows."""
        after, before = self._position
        by, within = self._order
        rows = _beside(self.queryset, by, before=before, after=after, within=within)
        return rows[: self.list_per_page + 1]

    @property
    def _position(self) -> tuple[str, str]:
        """Return the position that the page starts after or before; the other one is empty."""
        after = self.position.get(AFTER, "")
        return after, "" if after else self.position.get(BEFORE, "")

    def rows(self, prepared: Callable[[Any], QuerySet[Any]]) -> Iterator[Any]:
        """Yield all matching rows in the list's order, read in chunks."""
        matching = prepared(self.queryset)
        by, within = self._order
        before, size = "", FIRST_CHUNK
        while page := list(_beside(matching, by, before=before, within=within)[:size]):
            yield from page
            before, size = position(page[-1], by), CHUNK

    @property
    def _order(self) -> tuple[str, str]:
        """Return `orders_by` and `within` of the active filter that sets the order."""
        for spec in self.filter_specs:
            if getattr(spec, "orders_by", "") and spec.used_parameters:
                return spec.orders_by, getattr(spec, "within", "")
        return "", ""

    def _show(self, page: list[Model]) -> None:
        self.result_list = page
        self.result_count = self.full_result_count = len(page)
        self.show_full_result_count = self.can_show_all = False
        self.show_admin_actions = True
        self.paginator = PagePaginator(page, self.list_per_page)
        self.multi_page = False

    def _link(self, page: list[Model], *, older: bool, newer: bool) -> None:
        by, _ = self._order
        if older:
            self.older = self.get_query_string({BEFORE: position(page[-1], by)})
        if newer:
            self.newer = self.get_query_string({AFTER: position(page[0], by)})
            self.newest = self.get_query_string()


def _beside(*query: Any, **where: Any) -> QuerySet[Any]:
    try:
        return beside(*query, **where)
    except BadPosition as bad:
        raise IncorrectLookupParameters(bad) from bad
