"""Filters of the audit log and of deliveries, each backed by an index."""

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

from audit.models import AuditLogEntry, AuditLogFilter
from audit.models.entry import FAILED
from console.links import whole_number
from handlers.models import Delivery, HandlerMapping
from handlers.reporting.backlog import STATES
from handlers.sdk import registry
from listeners.models import Listener
from listeners.salesforce.events import ChangeKind


class _OneValue:
    """A filter with one value, such as unfold's drop-down and text filters."""

    parameter_name: str

    if TYPE_CHECKING:

        def value(self) -> str | None: ...

    @property
    def wanted(self) -> str:
        value = (self.value() or "").strip()
        if "\0" in value:  # PostgreSQL rejects it
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
    """Filters by the id of a related row, named by `parameter_name`."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = self.wanted
        if not wanted:
            return queryset
        number = whole_number(wanted)
        if number is None:
            raise IncorrectLookupParameters
        return queryset.filter(**{self.parameter_name: number})


class RedeliveryFilter(_Number):
    """Filters deliveries by the last redelivery that sent them."""

    title = "redelivery"
    parameter_name = "redelivery"


class MappingFilter(_Number):
    """Filters deliveries by handler mapping; the numbers on its page link here."""

    title = "handler mapping"
    parameter_name = "mapping"


class _Listeners(DropdownFilter):
    title = "listener"
    parameter_name = "listener"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in Listener.objects.values_list("name", flat=True)]


class _States(_OneValue, DropdownFilter):
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
    """Filters by a range of days or times; an end day without a time is included."""

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
    """Filters by the time of the commit, which is stored in milliseconds."""

    orders_by = "commit_timestamp"
    bounds = ("committed_since", "committed_until")

    def __init__(self, field: Any, *args: Any, **kwargs: Any) -> None:
        # unfold accepts date fields only, and does not use the field otherwise.
        super().__init__(models.DateTimeField("committed", name=field.name), *args, **kwargs)


class DeliveryListenerFilter(_OneValue, _Listeners):
    """Filters deliveries by listener, in the order of the listener's entries.

    Entries have an index by listener. In the order of deliveries, the database would read past
    all other listeners' rows to reach those of an idle one. If another filter is selective, its
    own index is used.
    """

    within = "entry__listener_id"
    narrow = ("group", "redelivery", "created_at_from_0", "created_at_to_0")

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        finds_few = request.GET.get("state") in STATES or any(map(request.GET.get, self.narrow))
        self.orders_by = "" if finds_few else "entry_id"

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Filter by the listener's id, for which the database has statistics."""
        if not self.wanted:
            return queryset
        found = Listener.objects.filter(name=self.wanted).values_list("pk", flat=True).first()
        if found is None:
            return queryset.none()
        return queryset.of_listener(found, few=not self.orders_by)


class DeliveryStateFilter(_States):
    title = "state"

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.in_state(self.wanted) if self.wanted else queryset


class HandlerFilter(_Equal, _Handlers):
    lookup = "handler"


class ErrorGroupFilter(_OneValue, TextFilter):
    """Filters by error group; the groups of dead letters link here."""

    title = "error group"
    parameter_name = "group"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.wanted:
            return queryset
        # The condition on the state makes the database use the index of failed deliveries.
        return queryset.filter(error_group=self.wanted, state__in=FAILED)


class CreatedFilter(ReceivedFilter):
    """Filters deliveries by the time of recording, in this order unless they are dead."""

    orders_by = "created_at"

    def __init__(self, field: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(field, request, *args, **kwargs)
        # In the order of time, all deliveries of a day that has no dead ones would be read.
        if request.GET.get("state") == Delivery.State.DEAD:
            self.orders_by = ""

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        since, until = self._moment("from", 0), self._moment("to", 1)
        bounds = {"created_at__gte": since, "created_at__lt": until}
        return queryset.filter(**{name: value for name, value in bounds.items() if value})
