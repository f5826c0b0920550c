"""Pages of a list that know where they begin, and not how many rows there are: the last page of ten
million costs what the first does."""

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
#: Rows that are read at once where all are wanted; fewer at first, for who waits to see it begin.
CHUNK, FIRST_CHUNK = 1000, 100
#: A list that the database looks for longer than this is given up.
SECONDS = 10
_GIVEN_UP = (
    f"Nothing was found within {SECONDS} seconds. Add a filter, such as a time or an entity."
)


class PagePaginator(_Paginator):
    """Of one page. The list knows whether others are beside it."""

    template_name = "console/pagination_keyset.html"


class KeysetChangeList(ChangeList):
    """Newest first by `id`; or by the field of a filter that `orders_by` it, so that its index
    finds the page, `within` another field where the index begins with that. `older` and `newer` are
    the addresses of the pages beside this one, or empty."""

    older = newer = newest = ""

    def get_filters(self, request: HttpRequest) -> Any:
        """The position is no filter, and a new search or filter begins anew."""
        self.position = {}
        for name in (BEFORE, AFTER):
            if value := self.params.pop(name, None):
                self.position[name] = value
            self.filter_params.pop(name, None)
        # unfold's form of filters keeps whatever else is in the address.
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
        """The page's rows, away from where it begins, and one more if there is one."""
        after = self.position.get(AFTER, "")
        before = "" if after else self.position.get(BEFORE, "")
        where = {"before": before, "after": after, "within": self._within}
        rows = _beside(self.queryset, self._orders_by, **where)
        return rows[: self.list_per_page + 1]

    def rows(self, prepared: Callable[[Any], QuerySet[Any]]) -> Iterator[Any]:
        """All that match, in the list's order, a chunk at a time."""
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


def _beside(*asked: Any, **where: Any) -> QuerySet[Any]:
    try:
        return beside(*asked, **where)
    except BadPosition as bad:
        raise IncorrectLookupParameters(bad) from bad
