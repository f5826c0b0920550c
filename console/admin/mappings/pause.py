"""Actions that pause and resume handler mappings; on a mapping's page they ask for a reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.decorators import action

from audit.action_log import Actor
from console import links
from console.admin.base import LoggedAdmin
from console.admin.redeliver_action import reason_of
from console.labels import label
from handlers.mappings import pause as mappings_pause
from handlers.models import HandlerMapping
from listeners.access.permissions import OPERATE, may

PAUSING = (
    "Changes are still recorded, and their deliveries wait in order. Running deliveries finish. "
    "Later changes of the same records wait too."
)
RESUMING = "Waiting deliveries continue within seconds, in the order of each record."
_ACTS: dict[str, Callable[..., int]] = {
    "pause": mappings_pause.pause,
    "resume": mappings_pause.resume,
}


class PausingAdmin(LoggedAdmin):
    """Pause and resume one handler mapping, or all mappings of a handler."""

    actions = ("pause_mappings", "resume_mappings")
    actions_detail = ("pause", "resume")

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request.user, OPERATE)

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.handler_view)
        routes = [
            path(f"handler/{verb}/", view, {"verb": verb}, f"handlers_handlermapping_{verb}_all")
            for verb in _ACTS
        ]
        return [*routes, *super().get_urls()]

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Show pause or resume, whichever applies."""
        found: list[Any] = super().get_actions_detail(request, object_id)
        mapping = _found(object_id)
        idle = {"pause", "resume"}
        if mapping is not None and (mapping.handler or mapping.task) and not mapping.managed:
            idle.remove("resume" if mapping.paused_at else "pause")
        return [entry for entry in found if entry.method.original_function_name not in idle]

    @admin.action(description="Pause the selected mappings", permissions=["operate"])
    def pause_mappings(self, request: HttpRequest, rows: QuerySet[HandlerMapping]) -> None:
        count = mappings_pause.pause(rows, Actor.in_console(request), "", timezone.now())
        messages.success(request, f"Paused: {count}.")

    @admin.action(description="Resume the selected mappings", permissions=["operate"])
    def resume_mappings(self, request: HttpRequest, rows: QuerySet[HandlerMapping]) -> None:
        count = mappings_pause.resume(rows, Actor.in_console(request), "", timezone.now())
        messages.success(request, f"Resumed: {count}.")

    @action(description="Pause", url_path="pause", permissions=["operate"], icon="pause")
    def pause(self, request: HttpRequest, object_id: str) -> HttpResponse:
        mapping: HandlerMapping = self.row(request, object_id)
        return self._switch(request, "pause", [mapping], str(mapping), links.mapping(mapping.pk))

    @action(description="Resume", url_path="resume", permissions=["operate"], icon="play_arrow")
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        mapping: HandlerMapping = self.row(request, object_id)
        return self._switch(request, "resume", [mapping], str(mapping), links.mapping(mapping.pk))

    def handler_view(self, request: HttpRequest, verb: str) -> HttpResponse:
        """Pause or resume every mapping of a handler, then return to the dead letters."""
        if not self.has_operate_permission(request):
            raise PermissionDenied
        name = request.GET.get("name", "")
        if "\0" in name:
            raise Http404
        of_handler = HandlerMapping.objects.filter(mappings_pause.to_handler(name))
        mappings = list(of_handler.filter(managed=False))
        if not mappings:
            raise Http404
        number = "" if len(mappings) == 1 else f", {len(mappings)} mappings"
        back = links.dead_letters()
        return self._switch(request, verb, mappings, f"{name}{number}", back)

    def _switch(
        self,
        request: HttpRequest,
        verb: str,
        mappings: list[HandlerMapping],
        what: str,
        back: str,
    ) -> HttpResponse:
        if request.method != "POST":
            title = f"{verb.capitalize()} {what}"
            text = f"{title}? {PAUSING if verb == 'pause' else RESUMING}"
            asked = {"title": title, "text": text, "button": verb.capitalize(), "back": back}
            return self.page(request, "console/ask.html", **asked)
        changed = _ACTS[verb](
            mappings, Actor.in_console(request), reason_of(request), timezone.now()
        )
        done = f"{verb}d"
        if changed:
            messages.success(request, f"{what}: {done}.")
        else:
            messages.info(request, f"{what} was already {done}.")
        return HttpResponseRedirect(back)


def pause_label(mapping: HandlerMapping) -> SafeString:
    """Return a label that says who paused the mapping, when and why; empty if not paused."""
    if mapping.paused_at is None:
        return SafeString()
    title = f"Since {mapping.paused_at:%Y-%m-%d %H:%M:%S} UTC, by {mapping.paused_by}"
    return label("paused", "warning", title=": ".join(filter(None, (title, mapping.pause_reason))))


def _found(object_id: Any) -> HandlerMapping | None:
    known = str(object_id).isdecimal()
    return HandlerMapping.objects.filter(pk=object_id).first() if known else None
