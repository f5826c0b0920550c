"""Pages of a list that know where they begin, and not how many rows there are: the last page of ten
million costs what the first does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.paginator import Paginator
from django.db import OperationalError, connection, transaction
from django.db.models import DateTimeField, Model, Q, QuerySet
from django.http import HttpRequest, QueryDict
from unfold.views import ChangeList

if TYPE_CHECKING:
    _Paginator = Paginator[Any]
else:
    _Paginator = Paginator

BEFORE, AFTER = "before", "after"
#: Rows that are read at once where all are wanted.
CHUNK = 1000
#: Of the longest id there is.
_DIGITS = 19
#: A list that PostgreSQL looks for longer than this is given up.
SECONDS = 10
_GIVEN_UP = (
    f"Nothing was found within {SECONDS} seconds. Add a filter, such as a time or an entity."
)


class PagePaginator(_Paginator):
    """Of one page. The list knows whether others are beside it."""

    template_name = "audit/pagination_keyset.html"


class KeysetChangeList(ChangeList):
    """Newest first by `id`; or by the field of a filter that `orders_by` it, so that its index
    finds the page. `older` and `newer` are the addresses of the pages beside this one, or empty."""

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
            with _time_limit():
                found = list(self.page_query())
        except OperationalError as error:
            if not is_cancelled(error):
                raise
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
        after = self.position.get(AFTER)
        before = None if after else self.position.get(BEFORE)
        rows = _beside(self.queryset, self._orders_by, before, after)
        return rows[: self.list_per_page + 1]

    def rows(self, prepared: Callable[[Any], QuerySet[Any]]) -> Iterator[Any]:
        """All that match, in the list's order, a chunk at a time."""
        matching = prepared(self.queryset)
        position = None
        while page := list(_beside(matching, self._orders_by, position, None)[:CHUNK]):
            yield from page
            position = _position(page[-1], self._orders_by)

    @property
    def _orders_by(self) -> str:
        return next((spec.orders_by for spec in self.filter_specs if _orders(spec)), "")

    def _show(self, page: list[Model]) -> None:
        self.result_list = page
        self.result_count = self.full_result_count = len(page)
        self.show_full_result_count = self.can_show_all = False
        self.show_admin_actions = True
        self.paginator = PagePaginator(page, self.list_per_page)
        self.multi_page = False

    def _link(self, by: str, page: list[Model], *, older: bool, newer: bool) -> None:
        if older:
            self.older = self.get_query_string({BEFORE: _position(page[-1], by)})
        if newer:
            self.newer = self.get_query_string({AFTER: _position(page[0], by)})
            self.newest = self.get_query_string()


def _orders(spec: Any) -> bool:
    return bool(getattr(spec, "orders_by", "") and spec.used_parameters)


def _beside(rows: QuerySet[Any], by: str, before: str | None, after: str | None) -> QuerySet[Any]:
    """The rows from a position on, ordered away from it."""
    sign, bound = ("", "gt") if after else ("-", "lt")
    position = after or before
    order = [f"{sign}{by}"] if by else []
    rows = rows.order_by(*order, f"{sign}id")
    if not position:
        return rows
    value, _, pk = position.rpartition(",")
    if not pk.isdecimal() or len(pk) > _DIGITS or bool(value) != bool(by):
        raise IncorrectLookupParameters
    if not by:
        return rows.filter(**{f"id__{bound}": int(pk)})
    key = _key(rows.model._meta.get_field(by), value)
    past = Q(**{f"{by}__{bound}": key}) | Q(**{by: key, f"id__{bound}": int(pk)})
    return rows.filter(past, **{f"{by}__{bound}e": key})  # the second is what the index takes


def _key(field: Any, value: str) -> datetime | int:
    try:
        if not isinstance(field, DateTimeField):
            return int(value)
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise IncorrectLookupParameters
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise IncorrectLookupParameters(error) from error


def _position(row: Model, by: str) -> str:
    if not by:
        return str(row.pk)
    value = getattr(row, by)
    return f"{value.isoformat() if isinstance(value, datetime) else value},{row.pk}"


@contextmanager
def _time_limit() -> Iterator[None]:
    if connection.vendor != "postgresql":
        yield
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = '{SECONDS}s'")
        yield
        cursor.execute("SET LOCAL statement_timeout = DEFAULT")


def is_cancelled(error: OperationalError) -> bool:
    return getattr(error.__cause__, "sqlstate", "") == "57014"
