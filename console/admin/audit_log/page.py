"""The pages of the audit log, with the deliveries of each change and a redeliver action."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import SEARCH_VAR
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from audit.log.masking import Sight
from audit.models import AuditLogEntry
from console.admin.audit_log import saved_filters
from console.admin.audit_log.entry import entry_page
from console.admin.audit_log.export import export
from console.admin.audit_log.field_rows import summary_names
from console.admin.audit_log.filters import (
    ChangeTypeFilter,
    CommittedFilter,
    EntityFilter,
    EntryHandlerFilter,
    EntryListenerFilter,
    EntryStateFilter,
    ReceivedFilter,
    SourceFilter,
)
from console.admin.audit_log.record import record_page
from console.admin.audit_log.search import ENTRY_SEARCH_HELP, entries, whole_records
from console.admin.keyset_list import BEFORE, KeysetChangeList
from console.admin.redeliver_action import RedeliveringAdmin
from console.labels import change_type_label, joined, moment_column, state_label
from console.links import whole_number
from handlers.models import Delivery
from handlers.redelivery.request import LEFT_OUT

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
        SourceFilter,
        EntryHandlerFilter,
        EntryStateFilter,
        ("received_at", ReceivedFilter),
        ("commit_timestamp", CommittedFilter),
    )
    list_select_related = ("listener",)
    search_fields = ("record_id",)
    changelist = KeysetChangeList
    search_help_text = ENTRY_SEARCH_HELP
    empty_title = "No changes recorded yet"
    empty_text = "Every change that a listener receives appears here, one row for each record."
    list_before_template = "console/audit_log_tools.html"
    change_form_outer_before_template = "console/entry_page.html"
    pages = (
        ("record/<str:record_id>/", "record", "record_view"),
        ("export/<str:form>/", "export", "export_view"),
        ("save-filter/", "save_filter", "save_filter_view"),
        ("delete-filter/", "delete_filter", "delete_filter_view"),
    )
    received = moment_column("received_at", "received")

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditLogEntry]:
        entries: QuerySet[AuditLogEntry] = super().get_queryset(request)
        return entries.prefetch_related(
            Prefetch("deliveries", Delivery.objects.order_by("id").defer("error"))
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return queryset.filter(entries(search_term)), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {
            "timelines": whole_records(request.GET.get(SEARCH_VAR, "")),
            "saved_filters": saved_filters.links(request),
            "query": saved_filters.kept(request.GET.urlencode()),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    def record_view(self, request: HttpRequest, record_id: str) -> HttpResponse:
        """Show the history of a record, by its ID of 18 or 15 characters."""
        self._refuse_blind(request)
        given, record_id = request.GET.get(BEFORE), unquote(record_id)
        before = whole_number(given)
        if given and before is None:
            raise Http404
        page = record_page(record_id, before, Sight.in_console(request.user))
        title = f"Record {record_id}"
        return self.page(request, "console/record_page.html", title=title, page=page)

    def export_view(self, request: HttpRequest, form: str) -> HttpResponseBase:
        """Export all entries that match the list's search and filters."""
        self._refuse_blind(request)
        try:
            changes = self.get_changelist_instance(request)
        except IncorrectLookupParameters as error:
            raise Http404 from error
        return export(request, changes, form, Sight.elsewhere(request.user))

    @method_decorator(require_POST)
    def save_filter_view(self, request: HttpRequest) -> HttpResponse:
        self._refuse_blind(request)
        return saved_filters.save(request)

    @method_decorator(require_POST)
    def delete_filter_view(self, request: HttpRequest) -> HttpResponse:
        self._refuse_blind(request)
        return saved_filters.delete(request)

    def _refuse_blind(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def deliveries_of(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Delivery]:
        """Return the deliveries of the entries, in the state that the list is filtered by."""
        found = Delivery.objects.filter(entry__in=rows.order_by().values("pk"))
        state = request.GET.get(EntryStateFilter.parameter_name)
        return found.filter(state=state) if state else found.exclude(LEFT_OUT)

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
        labels = [
            state_label(delivery.state, title=delivery.handler)
            for delivery in entry.deliveries.all()
        ]
        return joined(labels) if labels else "recorded only"

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        page = entry_page(obj, Sight.in_console(request.user))
        return super().page_context(request, obj) | {"page": page}
