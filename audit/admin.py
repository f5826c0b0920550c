"""Incidents and quarantined messages. The audit log is with its deliveries, in
`handlers.admin_audit_log`."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter

from audit.admin_labels import label, moment
from audit.admin_window import WindowAdmin
from audit.models import Incident, Quarantined

#: A page shows this much of a raw message; the rest is in the database.
SHOWN = 100_000


class OpenFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Open"), ("closed", "Closed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "open":
                return queryset.filter(closed_at=None)
            case "closed":
                return queryset.exclude(closed_at=None)
            case _:
                return queryset


@admin.register(Incident)
class IncidentAdmin(WindowAdmin):
    actions = ("close_incidents",)
    list_display = ("kind", "state", "listener", "summary", "count", "opened", "last_seen")
    list_filter = (
        OpenFilter,
        ("kind", ChoicesDropdownFilter),
        ("listener", RelatedDropdownFilter),
    )
    list_select_related = ("listener",)
    change_form_outer_before_template = "audit/incident.html"

    def has_close_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("audit.change_incident")

    @admin.display(description="state")
    def state(self, incident: Incident) -> SafeString:
        return label("open", "danger") if incident.is_open else label("closed", "success")

    @admin.display(description="opened")
    def opened(self, incident: Incident) -> SafeString | str:
        return moment(incident.opened_at)

    @admin.display(description="last seen")
    def last_seen(self, incident: Incident) -> SafeString | str:
        return moment(incident.last_seen_at)

    @admin.action(description="Close the selected incidents", permissions=["close"])
    def close_incidents(self, request: HttpRequest, incidents: QuerySet[Incident]) -> None:
        closed = 0
        for incident in incidents:
            # Whoever closed it meanwhile stays the one who did.
            if Incident.objects.filter(pk=incident.pk, closed_at=None).update(
                closed_at=timezone.now()
            ):
                closed += 1
                self.log_change(request, incident, "Closed.")
        if closed:
            messages.success(request, f"Closed {closed} incident{'s' if closed != 1 else ''}.")
        else:
            messages.info(request, "What you selected was closed already.")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context |= {
            "incident": kwargs.get("obj"),
            "can_close": self.has_close_permission(request),
        }
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response


@admin.register(Quarantined)
class QuarantinedAdmin(WindowAdmin):
    list_display = ("received", "listener", "channel", "replay_id", "error")
    list_filter = (("listener", RelatedDropdownFilter),)
    list_select_related = ("listener",)
    change_form_outer_before_template = "audit/quarantined.html"

    @admin.display(description="received")
    def received(self, quarantined: Quarantined) -> SafeString | str:
        return moment(quarantined.received_at)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Quarantined]:
        quarantined: QuerySet[Quarantined] = super().get_queryset(request)
        return quarantined.defer("raw")  # a message may have megabytes

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        quarantined = kwargs.get("obj")
        if isinstance(quarantined, Quarantined):
            context |= {
                "quarantined": quarantined,
                "raw": quarantined.raw[:SHOWN],
                "is_cut": len(quarantined.raw) > SHOWN,
                "length": len(quarantined.raw),
            }
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response
