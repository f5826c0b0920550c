"""The pages of deliveries: one for each change and handler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.decorators import action

from audit.action_log import Actor
from audit.log.masking import Sight
from audit.models import AuditLogFilter
from console.admin.audit_log.entry import delivery_card, prefetch_attempts
from console.admin.audit_log.filters import (
    CreatedFilter,
    DeliveryListenerFilter,
    DeliveryStateFilter,
    ErrorGroupFilter,
    HandlerFilter,
    MappingFilter,
    RedeliveryFilter,
)
from console.admin.audit_log.search import RECORD_SEARCH_HELP, record_ids
from console.admin.deliveries.dead_letters import DeadLettersAdmin
from console.admin.keyset_list import KeysetChangeList
from console.admin.mappings.pause import pause_label
from console.admin.redeliver_action import reason_of
from console.labels import change_type_label, joined, label, moment, moment_column, state_label
from handlers.models import Delivery
from handlers.redelivery.request import LEFT_OUT, request_matching
from handlers.reporting.wait_reason import waits_for


class DeliveryAdmin(DeadLettersAdmin):
    actions = ("redeliver", "go_on_without")
    actions_list = ("redeliver_dead",)
    list_display = (
        "created",
        "state_shown",
        "handler",
        "record",
        "attempts",
        "ended",
    )
    list_filter = (
        DeliveryStateFilter,
        HandlerFilter,
        MappingFilter,
        DeliveryListenerFilter,
        ErrorGroupFilter,
        RedeliveryFilter,
        ("created_at", CreatedFilter),
    )
    list_select_related = ("entry__listener", "mapping")
    search_fields = ("entry__record_id",)
    changelist = KeysetChangeList
    search_help_text = RECORD_SEARCH_HELP
    empty_title = "No deliveries yet"
    empty_text = (
        "A delivery is one change for one handler. Choose a handler on a listener's page, and its "
        "deliveries appear here when changes arrive."
    )
    change_form_outer_before_template = "console/delivery_page.html"
    created = moment_column("created_at", "created")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return queryset.filter(record_ids("entry__record_id", search_term)), False

    def deliveries_of(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Delivery]:
        """Leave skipped deliveries out of "select all", unless the list is filtered by state."""
        is_across = request.POST.get("select_across") == "1"
        by_state = DeliveryStateFilter.parameter_name in request.GET
        return rows.exclude(LEFT_OUT) if is_across and not by_state else rows

    @action(
        description="Redeliver all dead letters",
        url_path="redeliver-dead",
        permissions=["redeliver"],
        icon="replay",
    )
    def redeliver_dead(self, request: HttpRequest) -> HttpResponse:
        """Redeliver all dead letters, after a page that asks."""
        dead = AuditLogFilter(state=Delivery.State.DEAD)
        return self.answer(
            request, request_matching(dead, Actor.in_console(request), reason=reason_of(request))
        )

    @admin.action(description="Skip and continue", permissions=["redeliver"])
    def go_on_without(self, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse:
        ids = list(rows.order_by().filter(halts=True).values_list("pk", flat=True))
        return self.skip(request, ids)

    @admin.display(description="ended")
    def ended(self, delivery: Delivery) -> SafeString | str:
        if delivery.state == Delivery.State.RETRYING:
            return format_html("retry at {}", moment(delivery.due_at))
        return moment(delivery.finished_at)

    @admin.display(description="state")
    def state_shown(self, delivery: Delivery) -> SafeString:
        marks = [state_label(delivery.state)]
        if delivery.halts:
            title = "The next changes of the record wait until this one is redelivered or skipped."
            marks.append(label("holds back next changes", "danger", title=title))
        if delivery.state in Delivery.WAITING and delivery.mapping.paused_at:
            marks.append(pause_label(delivery.mapping))
        return format_html('<span class="whitespace-nowrap">{}</span>', joined(marks))

    @admin.display(description="record")
    def record(self, delivery: Delivery) -> str:
        return f"{delivery.entry.entity_name} {delivery.entry.record_id}"

    def get_list_display(self, request: HttpRequest) -> tuple[Any, ...]:
        return (*self.list_display, _failure(Sight.in_console(request.user)))

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        prefetch_attempts([obj])
        see = Sight.in_console(request.user)
        return super().page_context(request, obj) | {
            "card": delivery_card(obj, obj.entry, see, waits_for(obj)),
            "change_type": change_type_label(obj.entry.change_type),
        }


def _failure(see: Sight) -> Callable[[Delivery], str]:
    """Return a column with the first line of the error, masked for its reader."""

    @admin.display(description="error")
    def failure(delivery: Delivery) -> str:
        first = see.text(delivery.error, delivery.entry).partition("\n")[0]
        return Truncator(first).chars(80)

    return failure
