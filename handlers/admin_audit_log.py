"""The audit log with what became of each change. Read-only, for everybody."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from audit.admin_labels import change_type_label, joined, moment
from audit.admin_window import WindowAdmin
from audit.models import AuditLogEntry
from handlers.admin_entry_page import DeliveryCard, EntryPage, summary_names
from handlers.admin_filters import (
    ChangeTypeFilter,
    DeliveryListenerFilter,
    DeliveryStateFilter,
    EntityFilter,
    EntryListenerFilter,
    EntryStateFilter,
    HandlerFilter,
    ReceivedFilter,
    record_ids,
)
from handlers.admin_labels import state_label
from handlers.models import Delivery

NAMED = 3


class AuditLogAdmin(WindowAdmin):
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
    search_help_text = "Record ID: 18 or 15 characters, or its beginning"
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


class DeliveryAdmin(WindowAdmin):
    list_display = (
        "created",
        "state_shown",
        "handler",
        "record",
        "attempts",
        "ended",
        "failure",
    )
    list_filter = (DeliveryStateFilter, HandlerFilter, DeliveryListenerFilter)
    list_select_related = ("entry",)
    search_fields = ("entry__record_id",)
    search_help_text = AuditLogAdmin.search_help_text
    change_form_outer_before_template = "handlers/delivery_page.html"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return queryset.filter(record_ids("entry__record_id", search_term)), False

    @admin.display(description="created")
    def created(self, delivery: Delivery) -> SafeString | str:
        return moment(delivery.created_at)

    @admin.display(description="ended")
    def ended(self, delivery: Delivery) -> SafeString | str:
        if delivery.state == Delivery.State.RETRYING:
            return format_html("again {}", moment(delivery.due_at))
        return moment(delivery.finished_at)

    @admin.display(description="state")
    def state_shown(self, delivery: Delivery) -> SafeString:
        return state_label(delivery.state)

    @admin.display(description="record")
    def record(self, delivery: Delivery) -> str:
        return f"{delivery.entry.entity_name} {delivery.entry.record_id}"

    @admin.display(description="error")
    def failure(self, delivery: Delivery) -> str:
        first = delivery.error.partition("\n")[0]
        return first if len(first) <= 80 else f"{first[:79]}…"

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        delivery = kwargs.get("obj")
        if isinstance(delivery, Delivery):
            context["card"] = DeliveryCard.of(delivery)
            context["change_type"] = change_type_label(delivery.entry.change_type)
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response
