"""The pages of incidents, where operators acknowledge and close them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter

from audit.action_log import Actor
from audit.incidents import acknowledge, close
from audit.models import Incident
from console import links
from console.admin.read_only import ReadOnlyAdmin, StateFilter
from console.labels import label, moment_column
from listeners.access.permissions import CLOSE, may


class OpenFilter(StateFilter):
    field = "closed_at"
    states = (("open", "Open"), ("closed", "Closed"))


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
    opened = moment_column("opened_at", "opened")
    last_seen = moment_column("last_seen_at", "last seen")

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

    @admin.action(description="Acknowledge the selected incidents", permissions=["close"])
    def acknowledge_incidents(
        self, request: HttpRequest, incidents: QuerySet[Incident]
    ) -> HttpResponse:
        by, now = Actor.in_console(request), timezone.now()
        count = sum(acknowledge(incident, by, now) for incident in incidents)
        return self._changed(request, count, "Acknowledged", "closed or acknowledged")

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
        by, now = Actor.in_console(request), timezone.now()
        note = request.POST["note"].replace("\0", "").strip()
        count = sum(close(incident, by, note, now) for incident in incidents)
        return self._changed(request, count, "Closed", "closed")

    def _changed(self, request: HttpRequest, count: int, done: str, state: str) -> HttpResponse:
        if count:
            messages.success(request, f"{done} {count} incident{'s' if count != 1 else ''}.")
        else:
            messages.info(request, f"The selected incidents are {state} already.")
        return self.back(request)

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return super().page_context(request, obj) | {
            "incident": obj,
            "see_also": list(_links(obj)),
            "can_close": self.has_close_permission(request),
        }


def _links(incident: Incident) -> Iterator[tuple[str, str]]:
    """Yield links to the pages where the incident can be examined and fixed."""
    match incident.kind:
        case Incident.Kind.DEAD_LETTERS:
            name = incident.listener.name if incident.listener else ""
            dead = {"state": "dead", "handler": incident.key, "listener": name}
            yield "Dead letters", links.listed("handlers_delivery", **dead)
        case Incident.Kind.UNDECODABLE | Incident.Kind.MALFORMED_ANSWER:
            unread = {"state": "unread", "listener__id__exact": incident.listener_id}
            yield "Quarantined messages", links.listed("audit_quarantined", **unread)
    if incident.listener_id is not None:
        yield "Listener", links.listener(incident.listener_id)
