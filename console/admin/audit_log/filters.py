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
from audit.models.entry_queryset import FAILED, AuditLogFilter
from handlers.models import Delivery, HandlerMapping
from handlers.reporting.backlog import STATES
from handlers.sdk import registry
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


class _Number(_OneValue, TextFilter):
    """Filters by the id of what `parameter_name` names."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = self.wanted
        if not wanted:
            return queryset
        if not (wanted.isascii() and wanted.isdecimal() and len(wanted) < 19):
            raise IncorrectLookupParameters
        return queryset.filter(**{self.parameter_name: int(wanted)})


class RedeliveryFilter(_Number):
    """Those that a redelivery was the last to send."""

    title = "redelivery"
    parameter_name = "redelivery"


class MappingFilter(_Number):
    """Those of one event handler: the numbers on its page lead here."""

    title = "event handler"
    parameter_name = "mapping"


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


class DeliveryListenerFilter(_OneValue, _Listeners):
    """In the order of the listener's entries, which have an index: in that of deliveries, an idle
    one's are behind all others. Where another filter finds few, its own index is better."""

    within = "entry__listener_id"
    narrow = ("group", "redelivery", "created_at_from_0", "created_at_to_0")

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        finds_few = request.GET.get("state") in STATES or any(map(request.GET.get, self.narrow))
        self.orders_by = "" if finds_few else "entry_id"

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """By its id: of that one the database knows how many entries it has."""
        if not self.wanted:
            return queryset
        found = Listener.objects.filter(name=self.wanted).values_list("pk", flat=True).first()
        if found is None:
            return queryset.none()
        return queryset.of_listener(found, few=not self.orders_by)


class DeliveryStateFilter(_Equal, _States):
    title = "state"
    lookup = "state"


class HandlerFilter(_Equal, _Handlers):
    lookup = "handler"


class ErrorGroupFilter(_OneValue, TextFilter):
    """What failed alike: the groups of the dead letters lead here."""

    title = "error group"
    parameter_name = "group"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.wanted:
            return queryset
        # Named twice, so that the index of what failed is taken.
        return queryset.filter(error_group=self.wanted, state__in=FAILED)


class CreatedFilter(ReceivedFilter):
    orders_by = "created_at"

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        since, until = self._moment("from", 0), self._moment("to", 1)
        bounds = {"created_at__gte": since, "created_at__lt": until}
        return queryset.filter(**{name: value for name, value in bounds.items() if value})
