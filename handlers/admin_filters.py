"""Search and filters of the audit log and of deliveries: what they find, an index finds."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.timezone import make_aware
from unfold.contrib.filters.admin import DropdownFilter, RangeDateTimeFilter, TextFilter

from audit.models import AuditLogEntry
from audit.queries import AuditLogFilter
from handlers import registry
from handlers.models import Delivery, HandlerMapping
from listeners.models import Listener
from listeners.salesforce.events import ChangeKind


class _OneValue:
    """A filter with one value, as unfold's drop-downs and texts are."""

    parameter_name: str

    if TYPE_CHECKING:

        def value(self) -> str | None: ...

    @property
    def wanted(self) -> str:
        value = (self.value() or "").strip()
        if "\0" in value:  # PostgreSQL takes none
            raise IncorrectLookupParameters
        return value


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


class _Handlers(DropdownFilter):
    title = "handler"
    parameter_name = "handler"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        mapped = HandlerMapping.objects.values_list("handler", "task").distinct()
        names = {name for pair in mapped for name in pair if name} | set(registry.names())
        return [(name, name) for name in sorted(names)]


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


class EntryHandlerFilter(_Matching, _Handlers):
    pass


class SourceFilter(_Matching, DropdownFilter):
    title = "source"
    parameter_name = "source"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(source.value, str(source.label)) for source in AuditLogEntry.Source]


class ReceivedFilter(RangeDateTimeFilter):
    """From a day or a moment, to a day or a moment; a day alone is meant whole."""

    orders_by = "received_at"
    bounds = ("since", "until")

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        moments = (self._moment("from", 0), self._moment("to", 1))
        wanted: dict[str, Any] = dict(zip(self.bounds, moments, strict=True))
        return queryset.matching(AuditLogFilter(**wanted))

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


class CommittedFilter(ReceivedFilter):
    """By the time of the commit, which is kept in milliseconds."""

    orders_by = "commit_timestamp"
    bounds = ("committed_since", "committed_until")

    def __init__(self, field: Any, *args: Any, **kwargs: Any) -> None:
        # unfold takes fields of dates only, and asks this one for nothing.
        super().__init__(models.DateTimeField("committed", name=field.name), *args, **kwargs)


class DeliveryListenerFilter(_Equal, _Listeners):
    lookup = "entry__listener__name"


class DeliveryStateFilter(_Equal, _States):
    title = "state"
    lookup = "state"


class HandlerFilter(_Equal, _Handlers):
    lookup = "handler"
