"""Keyset pagination of long lists: every page costs the same, and rows are not counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, QueryDict
from unfold.views import ChangeList

from audit.db.keyset import BadPosition, beside, position
from audit.db.row_count import TookTooLong, time_limit

if TYPE_CHECKING:
    _Paginator = Paginator[Any]
else:
    _Paginator = Paginator

BEFORE, AFTER = "before", "after"
#: Rows read at once when all are wanted; the first chunk is small so that output starts soon.
CHUNK, FIRST_CHUNK = 1000, 100
#: A list query that takes longer is cancelled.
SECONDS = 10
_GIVEN_UP = (
    f"The search was cancelled after {SECONDS} seconds. Add a filter, such as a time or an entity."
)


class PagePaginator(_Paginator):
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
        by = self._orders_by
        after = self.position.get(AFTER)
        before = None if after else self.position.get(BEFORE)
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
            self._link(by, page, older=older, newer=newer)

    def page_query(self) -> QuerySet[Any]:
        """Return the query of the page's rows and one more, which tells whether a page follows."""
        after = self.position.get(AFTER, "")
        before = "" if after else self.position.get(BEFORE, "")
        where = {"before": before, "after": after, "within": self._within}
        rows = _beside(self.queryset, self._orders_by, **where)
        return rows[: self.list_per_page + 1]

    def rows(self, prepared: Callable[[Any], QuerySet[Any]]) -> Iterator[Any]:
        """Yield all matching rows in the list's order, read in chunks."""
        matching = prepared(self.queryset)
        by, where = self._orders_by, {"within": self._within}
        size = FIRST_CHUNK
        while page := list(_beside(matching, by, **where)[:size]):
            yield from page
            where["before"], size = position(page[-1], by), CHUNK

    @property
    def _orders_by(self) -> str:
        return next((spec.orders_by for spec in self.filter_specs if _orders(spec)), "")

    @property
    def _within(self) -> str:
        ordering = (spec for spec in self.filter_specs if _orders(spec))
        return next((getattr(spec, "within", "") for spec in ordering), "")

    def _show(self, page: list[Model]) -> None:
        self.result_list = page
        self.result_count = self.full_result_count = len(page)
        self.show_full_result_count = self.can_show_all = False
        self.show_admin_actions = True
        self.paginator = PagePaginator(page, self.list_per_page)
        self.multi_page = False

    def _link(self, by: str, page: list[Model], *, older: bool, newer: bool) -> None:
        if older:
            self.older = self.get_query_string({BEFORE: position(page[-1], by)})
        if newer:
            self.newer = self.get_query_string({AFTER: position(page[0], by)})
            self.newest = self.get_query_string()


def _orders(spec: Any) -> bool:
    return bool(getattr(spec, "orders_by", "") and spec.used_parameters)


def _beside(*query: Any, **where: Any) -> QuerySet[Any]:
    try:
        return beside(*query, **where)
    except BadPosition as bad:
        raise IncorrectLookupParameters(bad) from bad
