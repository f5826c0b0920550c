"""The audit log with what became of each change. Read-only, but for sending changes again."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from audit.admin_labels import change_type_label, joined, moment
from audit.models import AuditLogEntry
from handlers.admin_deliveries import SEARCH_HELP
from handlers.admin_entry_page import EntryPage, summary_names
from handlers.admin_filters import (
    ChangeTypeFilter,
    EntityFilter,
    EntryListenerFilter,
    EntryStateFilter,
    ReceivedFilter,
    record_ids,
)
from handlers.admin_labels import state_label
from handlers.admin_redelivery import RedeliveringAdmin
from handlers.models import Delivery
from handlers.redelivery import LEFT_OUT

NAMED = 3


class AuditLogAdmin(RedeliveringAdmin):
    list_display = (
        "received",
        "listener",
        "entity_name",
        "record_id",
        "change",
        "fields_changed",
        "delivery_states",
    )
    list_display_links = ("received", "record_id")
    list_filter = (
        EntryListenerFilter,
        EntityFilter,
        ChangeTypeFilter,
        EntryStateFilter,
        ("received_at", ReceivedFilter),
    )
    list_select_related = ("listener",)
    search_fields = ("record_id",)
    search_help_text = SEARCH_HELP
    change_form_outer_before_template = "handlers/entry_page.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditLogEntry]:
        entries: QuerySet[AuditLogEntry] = super().get_queryset(request)
        return entries.prefetch_related(
            Prefetch("deliveries", Delivery.objects.order_by("id").defer("error"))
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return queryset.filter(record_ids("record_id", search_term)), False

    def deliveries_of(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Delivery]:
        """Of a list that is filtered by their state, those in that state."""
        found = Delivery.objects.filter(entry__in=rows.order_by().values("pk"))
        state = request.GET.get(EntryStateFilter.parameter_name)
        return found.filter(state=state) if state else found.exclude(LEFT_OUT)

    @admin.display(description="received")
    def received(self, entry: AuditLogEntry) -> SafeString | str:
        return moment(entry.received_at)

    @admin.display(description="change")
    def change(self, entry: AuditLogEntry) -> SafeString:
        return change_type_label(entry.change_type)

    @admin.display(description="changed fields")
    def fields_changed(self, entry: AuditLogEntry) -> str:
        names = summary_names(entry)
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        return ", ".join(names[:NAMED]) + more or "-"

    @admin.display(description="deliveries")
    def delivery_states(self, entry: Any) -> SafeString | str:
        labels = [state_label(one.state, title=one.handler) for one in entry.deliveries.all()]
        return joined(labels) if labels else "recorded only"

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        entry = kwargs.get("obj")
        if isinstance(entry, AuditLogEntry):
            context["page"] = EntryPage.of(entry)
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response
