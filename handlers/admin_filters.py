"""Search and filters of the audit log and of deliveries: what they find, an index finds."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.timezone import make_aware
from unfold.contrib.filters.admin import DropdownFilter, RangeDateTimeFilter, TextFilter

from audit.queries import AuditLogFilter
from handlers import registry
from handlers.models import Delivery, HandlerMapping
from listeners.models import Listener
from listeners.salesforce.events import ChangeKind

_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
WHOLE_ID = 15


def record_ids(field: str, search: str) -> Q:
    """Records that were typed: whole IDs of 18 or 15 characters, or the beginning of one."""
    condition = Q()
    for term in search.split():
        if len(term) < WHOLE_ID:
            condition |= Q(**{f"{field}__startswith": term})
        else:
            condition |= Q(**{f"{field}__in": [term, long_id(term)]})
    return condition


def long_id(record_id: str) -> str:
    """Salesforce's pages show IDs of 15 characters, its events carry 18: the last three say which
    of the others are capital letters."""
    if len(record_id) != WHOLE_ID or not record_id.isalnum() or not record_id.isascii():
        return record_id
    parts = (record_id[0:5], record_id[5:10], record_id[10:15])
    return record_id + "".join(
        _DIGITS[sum(1 << place for place, letter in enumerate(part) if letter.isupper())]
        for part in parts
    )


class _OneValue:
    """A filter with one value, as unfold's drop-downs and texts are."""

    parameter_name: str

    if TYPE_CHECKING:

        def value(self) -> str | None: ...

    @property
    def wanted(self) -> str:
        return (self.value() or "").strip()


class _Matching(_OneValue):
    """Filters entries by the field of `AuditLogFilter` that `parameter_name` names."""

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        wanted: dict[str, Any] = {self.parameter_name: self.wanted}
        return queryset.matching(AuditLogFilter(**wanted))


class _Equal(_OneValue):
    """Filters by the equality of one field."""

    lookup: str

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.lookup: self.wanted}) if self.wanted else queryset


class _Listeners(DropdownFilter):
    title = "listener"
    parameter_name = "listener"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in Listener.objects.values_list("name", flat=True)]


class _States(DropdownFilter):
    title = "delivery state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state.value, str(state.label)) for state in Delivery.State]


class EntryListenerFilter(_Matching, _Listeners):
    pass


class EntryStateFilter(_Matching, _States):
    pass


class EntityFilter(_Matching, TextFilter):
    title = "entity"
    parameter_name = "entity"


class ChangeTypeFilter(_Matching, DropdownFilter):
    title = "change type"
    parameter_name = "change_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(kind.value, kind.value) for kind in ChangeKind]


class ReceivedFilter(RangeDateTimeFilter):
    """From a day or a moment, to a day or a moment; a day alone is meant whole."""

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        since = self._moment("from", 0)
        until = self._moment("to", 1)
        return queryset.matching(AuditLogFilter(since=since, until=until))

    def _moment(self, bound: str, days: int) -> datetime | None:
        day = self.used_parameters.get(f"{self.parameter_name}_{bound}_0")
        clock = self.used_parameters.get(f"{self.parameter_name}_{bound}_1")
        if not day:
            return None
        try:
            date = forms.DateField().clean(day)
            if clock:
                return make_aware(datetime.combine(date, forms.TimeField().clean(clock)))
            return make_aware(datetime.combine(date, time.min)) + timedelta(days=days)
        except (ValidationError, OverflowError) as error:
            raise IncorrectLookupParameters(error) from error


class DeliveryListenerFilter(_Equal, _Listeners):
    lookup = "entry__listener__name"


class DeliveryStateFilter(_Equal, _States):
    title = "state"
    lookup = "state"


class HandlerFilter(_Equal, DropdownFilter):
    title = "handler"
    parameter_name = "handler"
    lookup = "handler"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        mapped = HandlerMapping.objects.values_list("handler", "task").distinct()
        names = {name for pair in mapped for name in pair if name} | set(registry.names())
        return [(name, name) for name in sorted(names)]
