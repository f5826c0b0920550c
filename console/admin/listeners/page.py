"""The pages of listeners: the list with states, a page with the flow of changes, and the form."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.forms.widgets import Script
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    JsonResponse,
)
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_POST

from audit.action_log import Actor
from audit.log.record import with_history
from audit.models import Incident
from console import links
from console.admin.check_stream import answer, flaws
from console.admin.listeners.forms import (
    FIELDSETS,
    NEW_FIELDSETS,
    ListenerForm,
    NewListenerForm,
    initial_values,
)
from console.admin.listeners.start_stop import OperatingAdmin
from console.admin.listeners.state_panel import listener_state, next_steps, standing
from console.designer import facts
from console.designer.drawing import draw
from console.labels import joined, label, moment
from console.navigation import Reader, may_see
from consumer.diagnostics.connection_check import checked
from consumer.diagnostics.offered_channels import channels_of
from consumer.diagnostics.short_timeouts import listener_with_short_timeouts, with_short_timeouts
from handlers.models import HandlerMapping
from handlers.sdk import registry
from listeners.connections.listener_warnings import warnings
from listeners.listener_state import position_of
from listeners.models import Connection, Listener, ListenerProcess


class ListenerAdmin(OperatingAdmin):
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
    fieldsets = FIELDSETS
    add_fieldsets = NEW_FIELDSETS
    add_form_template = "console/listener_add.html"
    change_form_outer_before_template = "console/listener_state.html"
    pages = (
        ("channels/", "channels", "channels"),
        ("test/", "try_new", "try_new"),
        ("<path:object_id>/drawing/", "drawing", "drawing"),
    )

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

    def get_form(
        self, request: HttpRequest, obj: Listener | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        kwargs["form"] = ListenerForm if obj else NewListenerForm
        form_class = super().get_form(request, obj, change, **kwargs)
        form_class.may_change_connections = request.user.has_perm("listeners.change_connection")
        return form_class

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        asked: dict[str, Any] = super().get_changeform_initial_data(request)
        return initial_values() | asked

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        context = super().page_context(request, obj)
        if obj is None:
            return context | {"test_url": reverse("admin:listeners_listener_try_new")}
        found = facts.read(obj, Reader.of(request), timezone.now())
        drawing = draw(found)
        return context | {
            "drawing": drawing,
            "steps": list(next_steps(drawing)),
            "state": listener_state(found),
        }

    @method_decorator(gzip_page)
    def drawing(self, request: HttpRequest, object_id: str) -> HttpResponse:
        listener = self.row(request, object_id)
        if not self.has_view_permission(request, listener):
            raise PermissionDenied
        context = self.page_context(request, listener)
        return self.fragment(request, "console/designer/parts.html", context)

    # Requests of the form's scripts

    @method_decorator(require_POST)
    def channels(self, request: HttpRequest) -> JsonResponse:
        """Return the channels of a connection's org; by POST, since it may log in."""
        if not (self.has_add_permission(request) or self.has_change_permission(request)):
            raise PermissionDenied
        pk = links.whole_number(request.POST.get("connection"))
        connection = get_object_or_404(Connection, pk=pk)
        return JsonResponse(channels_of(connection))

    @method_decorator(require_POST)
    def try_new(self, request: HttpRequest) -> HttpResponseBase:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = self.get_form(request)(request.POST)
        if found := flaws(form, ignoring=("name",)):
            return answer(found)
        listener: Listener = form.instance
        tested = with_short_timeouts(listener.connection)
        listeners = [listener_with_short_timeouts(listener, tested)]
        return answer(checked(tested, listeners, Actor.in_console(request)))

    # Saving and deleting

    def save_model(self, request: HttpRequest, obj: Listener, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        for _, text in warnings(obj):
            messages.warning(request, f"{obj}: {text}")

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if not change:
            HandlerMapping.objects.create_defaults(form.instance)

    def response_post_save_add(self, request: HttpRequest, obj: Listener) -> HttpResponse:
        messages.info(request, f"Next: choose the handlers that get its changes. {_when(obj)}")
        return HttpResponseRedirect(links.listener(obj.pk))

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


def _when(listener: Listener) -> str:
    """Say when the listener starts to receive."""
    if not listener.enabled:
        return "The listener is disabled: start it when you are ready."
    if ListenerProcess.objects.present():
        return "A listener process is running and starts it within seconds."
    return "It starts to receive once a listener process runs: manage.py run_cdc_listener."
