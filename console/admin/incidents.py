"""The pages of incidents, where operators acknowledge and close them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter

from audit.action_log import Actor
from audit.incidents import acknowledge, close
from audit.models import Incident
from console.admin.read_only import ReadOnlyAdmin
from console.labels import label, moment
from listeners.access.permissions import CLOSE, may


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


class IncidentAdmin(ReadOnlyAdmin):
    actions = ("acknowledge_incidents", "close_incidents")
    list_display = ("kind", "state", "listener", "summary", "count", "opened", "last_seen")
    list_filter = (
        OpenFilter,
        ("kind", ChoicesDropdownFilter),
        ("listener", RelatedDropdownFilter),
    )
    empty_title = "No incidents"
    empty_text = "An incident opens by itself when a problem needs attention."
    list_select_related = ("listener",)
    change_form_outer_before_template = "console/incident.html"

    def has_close_permission(self, request: HttpRequest) -> bool:
        return may(request.user, CLOSE)

    @admin.display(description="state")
    def state(self, incident: Incident) -> SafeString:
        if not incident.is_open:
            return label("closed", "success")
        if incident.acknowledged_at:
            title = f"Acknowledged by {incident.acknowledged_by}"
            return label("open, acknowledged", "warning", title=title)
        return label("open", "danger")

    @admin.display(description="opened")
    def opened(self, incident: Incident) -> SafeString | str:
        return moment(incident.opened_at)

    @admin.display(description="last seen")
    def last_seen(self, incident: Incident) -> SafeString | str:
        return moment(incident.last_seen_at)

    @admin.action(description="Acknowledge the selected incidents", permissions=["close"])
    def acknowledge_incidents(
        self, request: HttpRequest, incidents: QuerySet[Incident]
    ) -> HttpResponse:
        done = 0
        for incident in incidents:
            if acknowledge(incident, Actor.in_console(request), timezone.now()):
                done += 1
        if done:
            messages.success(request, f"Acknowledged {done} incident{'s' if done != 1 else ''}.")
        else:
            messages.info(request, "The selected incidents are closed or acknowledged already.")
        return self.back(request)

    @admin.action(description="Close the selected incidents", permissions=["close"])
    def close_incidents(self, request: HttpRequest, incidents: QuerySet[Incident]) -> HttpResponse:
        """Ask for a note first, unless the request has one."""
        if "note" not in request.POST:
            return self.page(
                request,
                "console/close_incidents.html",
                incidents=incidents.filter(closed_at=None),
                title="Close incidents",
            )
        closed = 0
        by, note = Actor.in_console(request), request.POST["note"].replace("\0", "").strip()
        for incident in incidents:
            if close(incident, by, note, timezone.now()):
                closed += 1
        if closed:
            messages.success(request, f"Closed {closed} incident{'s' if closed != 1 else ''}.")
        else:
            messages.info(request, "The selected incidents are closed already.")
        return self.back(request)

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return {
            "incident": obj,
            "see_also": list(_links(obj)) if isinstance(obj, Incident) else [],
            "can_close": self.has_close_permission(request),
        }


def _links(incident: Incident) -> Iterator[tuple[str, str]]:
    """Yield links to the pages where the incident can be examined and fixed."""
    match incident.kind:
        case Incident.Kind.DEAD_LETTERS:
            name = incident.listener.name if incident.listener else ""
            wanted = {"state": "dead", "handler": incident.key, "listener": name}
            page = reverse("admin:handlers_delivery_changelist")
            yield "Dead letters", f"{page}?{urlencode(wanted)}"
        case Incident.Kind.UNDECODABLE | Incident.Kind.MALFORMED_ANSWER:
            unread = {"state": "unread", "listener__id__exact": incident.listener_id}
            page = reverse("admin:audit_quarantined_changelist")
            yield "Quarantined messages", f"{page}?{urlencode(unread)}"
    if incident.listener_id is not None:
        yield (
            "Listener",
            reverse("admin:listeners_listener_change", args=[incident.listener_id]),
        )
