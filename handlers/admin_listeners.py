"""Listeners with their event handlers inline, and their state beside them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, F, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action

from audit.admin_labels import joined, label, moment
from audit.models import Incident
from audit.traffic import replay_cost
from handlers import registry
from handlers.admin_mappings import HandlerMappingInline
from handlers.admin_state import ListenerState, standing
from handlers.defaults import create_default_mappings
from listeners.admin_console import ConsoleAdmin
from listeners.admin_fields import WithDefaults
from listeners.listener_rules import warnings
from listeners.models import Listener, Position
from listeners.salesforce.events import PRESETS
from listeners.standing import is_held, position_of


class ListenerForm(WithDefaults):
    class Meta:
        model = Listener
        fields = "__all__"


class ListenerAdmin(ConsoleAdmin):
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
    search_fields = ("name", "channel")
    fieldsets = (
        (None, {"fields": ("name", "connection", "channel", "enabled")}),
        (
            "Position",
            {
                "description": "Where to begin, and what to do when Salesforce no longer has what "
                "comes next. It retains changes for 72 hours.",
                "fields": ("replay_from", "on_replay_lost"),
            },
        ),
        (
            "Gap events",
            {
                "description": "Salesforce sends a gap event instead of a change that was too "
                "large, or was made outside its application servers.",
                "fields": ("gap_policy",),
            },
        ),
        (
            "Transport",
            {
                "description": "Both bring the same changes to the same handlers.",
                "fields": ("transport", "pubsub_endpoint", "managed_subscription"),
            },
        ),
        (
            "Version and times",
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
    inlines = (HandlerMappingInline,)
    actions_detail = ("forget_position",)
    change_form_outer_before_template = "handlers/listener_state.html"

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
        title = f"{', '.join(sorted(unknown))}: deliveries wait until there is such a handler."
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

    def get_inlines(self, request: HttpRequest, obj: Listener | None) -> Any:
        """None on the page of a new one: it is saved first, with its four event handlers."""
        return super().get_inlines(request, obj) if obj else ()

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        listener = kwargs.get("obj")
        context["state"] = ListenerState.of(listener) if listener else None
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    def save_model(self, request: HttpRequest, obj: Listener, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        for _, text in warnings(obj):
            messages.warning(request, f"{obj}: {text}")

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if not change:
            create_default_mappings(form.instance)

    def response_post_save_add(self, request: HttpRequest, obj: Listener) -> HttpResponse:
        """On to the new listener's page, where its handlers are chosen."""
        return HttpResponseRedirect(reverse("admin:listeners_listener_change", args=[obj.pk]))

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """A listener's incidents go with it, though nobody may delete one by itself."""
        found, counts, lacking, protected = super().get_deleted_objects(objs, request)
        return found, counts, lacking - {str(Incident._meta.verbose_name)}, protected

    # Forgetting the position

    @action(
        description="Forget the position",
        url_path="forget-position",
        permissions=["change"],
        icon="history_toggle_off",
    )
    def forget_position(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Asks first; does it when asked by POST."""
        listener = get_object_or_404(Listener.objects.select_related("position"), pk=object_id)
        page = HttpResponseRedirect(reverse("admin:listeners_listener_change", args=[listener.pk]))
        position = position_of(listener)
        if position is None or not (position.replay_id or position.tip_since):
            messages.info(request, "There is no position to forget.")
            return page
        if listener.enabled and is_held(position, timezone.now()):
            messages.error(
                request,
                f"A process runs this listener ({position.holder}). Disable the listener or stop "
                "the process, then forget the position.",
            )
            return page
        if request.method != "POST":
            begins_at_earliest = listener.first_replay == PRESETS[1]
            context = {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "original": listener,
                "listener": listener,
                "position": position,
                "cost": replay_cost(listener, timezone.now()) if begins_at_earliest else "",
                "title": "Forget the position",
            }
            return TemplateResponse(request, "handlers/forget_position.html", context)
        if forget(position):
            self.log_change(request, listener, f"Forgot the position {position.replay_id}.")
            managed = f"where {listener.subscription} was left"
            begins = managed if listener.subscription else f"at {listener.replay_from}"
            messages.success(request, f"Forgotten: it begins again {begins} when it starts.")
        else:
            messages.error(request, "The listener has moved on meanwhile; nothing was changed.")
        return page


def forget(position: Position) -> bool:
    """Unless somebody has taken the lease or moved on since the position was read. With a new
    epoch: a holder that was only paused must not write its position back."""
    seen = {"pk": position.pk, "epoch": position.epoch, "replay_id": position.replay_id}
    return bool(
        Position.objects.filter(**seen).update(
            replay_id="",
            named_at=None,
            subscription="",
            tip_since=None,
            caught_up_at=None,
            holder="",
            lease_until=None,
            failed_fingerprint="",
            epoch=F("epoch") + 1,
        )
    )
