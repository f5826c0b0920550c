"""The pages of listeners: the list with states, and a page with the flow of changes."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.forms.widgets import Script
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.gzip import gzip_page

from audit.log.has_history import with_history
from audit.models import Incident
from console.admin.listeners.create import CreatingAdmin
from console.admin.listeners.forms import ListenerForm
from console.admin.listeners.state_panel import ListenerState, standing
from console.designer import facts
from console.designer.drawing import draw
from console.designer.next_steps import next_steps
from console.labels import joined, label, moment
from console.navigation import Reader, may_see
from handlers.models import HandlerMapping
from handlers.sdk import registry
from listeners.connections.listener_warnings import warnings
from listeners.listener_state import position_of
from listeners.models import Listener


class ListenerAdmin(CreatingAdmin):
    form = ListenerForm
    list_display = (
        "name",
        "standing",
        "connection",
        "channel",
        "transport",
        "chosen_handlers",
        "last_event",
        "open_incidents",
    )
    list_filter = ("enabled", "transport", "connection")
    list_select_related = ("connection", "position")
    empty_title = "No listeners yet"
    empty_text = (
        "A listener subscribes to one channel of a Salesforce org, records its changes and passes "
        "them to handlers. It needs a connection."
    )
    search_fields = ("name", "channel")
    fieldsets = (
        (None, {"fields": ("name", "connection", "channel", "enabled")}),
        (
            "Position",
            {
                "description": "Where to start, and what to do when Salesforce no longer has the "
                "next change. Salesforce retains changes for 72 hours.",
                "fields": ("replay_from", "on_replay_lost"),
            },
        ),
        (
            "Gap events",
            {
                "description": "Salesforce sends a gap event in place of a change that was too "
                "large or was made outside its application servers.",
                "fields": ("gap_policy",),
            },
        ),
        (
            "Transport",
            {
                "description": "Both APIs deliver the same changes to the same handlers.",
                "fields": ("transport", "pubsub_endpoint", "managed_subscription"),
            },
        ),
        (
            "Sensitive fields",
            {
                "classes": ("collapse",),
                "description": "Masked for users without the permission to see sensitive values. "
                "Handlers always get the values.",
                "fields": ("sensitive_fields",),
            },
        ),
        (
            "API version and timeouts",
            {
                "classes": ("collapse",),
                "fields": (
                    "api_version",
                    "connection_timeout",
                    "read_timeout",
                    "keep_alive_interval",
                    "session_timeout",
                ),
            },
        ),
    )
    change_form_outer_before_template = "console/listener_state.html"
    pages: Any = (("<path:object_id>/drawing/", "drawing", "drawing"),)

    class Media:
        css: ClassVar = {"all": ["console/designer.css"]}
        js: ClassVar = [Script("console/refresh.js", defer=True)]

    def get_list_display(self, request: HttpRequest) -> list[str]:
        """Leave out columns that the user may not see."""
        unseen = {
            column
            for column, app, model in (
                ("chosen_handlers", "handlers", "handlermapping"),
                ("open_incidents", "audit", "incident"),
            )
            if not may_see(request, app, model)
        }
        return [column for column in self.list_display if column not in unseen]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Listener]:
        listeners: QuerySet[Listener] = super().get_queryset(request)
        return listeners.annotate(
            incident_count=Count("incidents", filter=Q(incidents__closed_at=None), distinct=True)
        ).prefetch_related("mappings")

    # Columns

    @admin.display(description="state")
    def standing(self, listener: Listener) -> SafeString:
        shown = standing(listener, position_of(listener), timezone.now())
        found = [label(shown.text, shown.variant, title=shown.reason)]
        if not listener.enabled:
            found.append(label("disabled"))
        return joined(found)

    @admin.display(description="handlers")
    def chosen_handlers(self, listener: Any) -> SafeString | str:
        chosen = [mapping for mapping in listener.mappings.all() if mapping.handler or mapping.task]
        kinds = ", ".join(dict.fromkeys(mapping.get_on_display() for mapping in chosen))
        unknown = {m.handler for m in chosen if m.handler and registry.find(m.handler) is None}
        if not unknown:
            return kinds or "recorded only"
        title = f"{', '.join(sorted(unknown))}: deliveries wait until the handler is registered."
        mark = label(f"{len(unknown)} not registered", "warning", title=title)
        return format_html("{} {}", kinds, mark)

    @admin.display(description="last event")
    def last_event(self, listener: Listener) -> SafeString | str:
        position = position_of(listener)
        return moment(position.last_event_at if position else None)

    @admin.display(description="open incidents")
    def open_incidents(self, listener: Any) -> SafeString | str:
        if not listener.incident_count:
            return "-"
        href = f"{reverse('admin:audit_incident_changelist')}?state=open"
        return label(
            str(listener.incident_count), "danger", href=f"{href}&listener__id__exact={listener.pk}"
        )

    # The page

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return _drawn(request, obj) if obj else super().page_context(request, obj)

    @method_decorator(gzip_page)
    def drawing(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return the part of the page that `refresh.js` refreshes."""
        listener = self.row(request, object_id)
        if not self.has_view_permission(request, listener):
            raise PermissionDenied
        context = _drawn(request, listener)
        answer = render(request, "console/designer/parts.html", context)
        answer["Cache-Control"] = "no-store"
        return answer

    def save_model(self, request: HttpRequest, obj: Listener, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        for _, text in warnings(obj):
            messages.warning(request, f"{obj}: {text}")

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if not change:
            HandlerMapping.objects.create_defaults(form.instance)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """Refuse to delete listeners with recorded changes; incidents are deleted with a listener.

        Called again in the transaction that deletes.
        """
        if kept := with_history(objs):
            return (
                [],
                {},
                set(),
                [f"The changes recorded by {listener}: stop it instead" for listener in kept],
            )
        found, counts, lacking, protected = super().get_deleted_objects(objs, request)
        return found, counts, lacking - {str(Incident._meta.verbose_name)}, protected


def _drawn(request: HttpRequest, listener: Listener) -> dict[str, Any]:
    """Return the template context of the page and of the part that refreshes."""
    found = facts.read(listener, Reader.of(request), timezone.now())
    drawing = draw(found)
    return {
        "drawing": drawing,
        "steps": list(next_steps(drawing)),
        "state": ListenerState.of(found),
    }
