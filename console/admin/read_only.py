"""The base class of read-only pages, whose lists stay fast over millions of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils.functional import cached_property
from unfold.views import ChangeList

from console.admin.base import ConsoleAdmin

if TYPE_CHECKING:
    _Paginator = Paginator[Any]
else:
    _Paginator = Paginator

#: Rows counted at most; a longer list says "more than".
COUNTED = 10_000


class CappedPaginator(_Paginator):
    """A paginator that counts up to a limit, so that a page costs the same in any table."""

    template_name = "console/pagination_capped.html"

    @cached_property
    def count(self) -> int:
        return min(self._counted, COUNTED)

    @property
    def is_capped(self) -> bool:
        return self._counted > COUNTED

    @cached_property
    def _counted(self) -> int:
        rows = self.object_list
        if isinstance(rows, QuerySet):
            return int(rows.order_by()[: COUNTED + 1].count())
        return len(rows)


class ReadOnlyChangeList(ChangeList):
    """A list that shows the number of results of a search, unless the count was capped."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        narrowed = self.query or self.has_active_filters
        if not narrowed or self.paginator.is_capped:
            self.full_result_count = self.result_count  # unfold then shows no number


class StateFilter(admin.SimpleListFilter):
    """Filters by whether a field is null; `states` are the value and the label of both answers."""

    title = "state"
    parameter_name = "state"
    field: str
    states: tuple[tuple[str, str], tuple[str, str]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return self.states

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in dict(self.states):
            return queryset
        return queryset.filter(**{f"{self.field}__isnull": self.value() == self.states[0][0]})


class ReadOnlyAdmin(ConsoleAdmin):
    """A page on which no user adds, changes or deletes rows, not even a superuser."""

    actions: Any = None
    list_filter_submit = True
    list_max_show_all = 0
    paginator = CappedPaginator
    changelist: type[ChangeList] = ReadOnlyChangeList
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # facets count the whole table
    # Sorting by a column without an index would read the whole table.
    sortable_by: Any = ()

    def back(self, request: HttpRequest) -> HttpResponseRedirect:
        """Redirect to the page that sent the action, or to the filtered list."""
        names = f"admin:{self.opts.app_label}_{self.opts.model_name}"
        if "from_page" in request.POST:
            pk = request.POST.get("_selected_action", "")
            return HttpResponseRedirect(reverse(f"{names}_change", args=[pk]))
        filters = request.GET.urlencode()
        return HttpResponseRedirect(
            reverse(f"{names}_changelist") + (f"?{filters}" if filters else "")
        )

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        """Allow, of the row's own fields, only those that the list filters by.

        Django allows them all: a user could guess sensitive values, or make the database read
        whole tables.
        """
        name = lookup.partition(LOOKUP_SEP)[0]
        fields = self.opts.concrete_fields
        own = {field.name for field in fields} | {field.attname for field in fields}
        if name in own - self._offered():
            return False
        return bool(super().lookup_allowed(lookup, value, request))

    def _offered(self) -> set[str]:
        """Return the names of the list's filters in its address."""
        filters = (spec[0] if isinstance(spec, tuple) else spec for spec in self.list_filter)
        return {str(getattr(spec, "parameter_name", spec)) for spec in filters}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return self.changelist

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        return []  # the page is a template of its own
