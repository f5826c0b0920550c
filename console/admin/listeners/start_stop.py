"""Actions that start and stop a listener and forget its position; each asks for confirmation."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from unfold.decorators import action

from audit.action_log import Actor
from audit.log.throughput import replay_cost
from console import links
from console.admin.base import LoggedAdmin
from console.admin.redeliver_action import reason_of
from consumer import listener_control
from consumer.listener_control import NotNow
from listeners.access.permissions import OPERATE, may
from listeners.listener_state import position_of
from listeners.models import Listener
from listeners.salesforce.events import PRESETS

_DONE = {"Start": "started", "Stop": "stopped"}


class OperatingAdmin(LoggedAdmin):
    actions = ("start_listeners", "stop_listeners")
    actions_detail = ("start", "stop", "forget_position")

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request.user, OPERATE)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Show start or stop, whichever applies."""
        found: list[Any] = super().get_actions_detail(request, object_id)
        known = str(object_id).isdecimal()
        is_on = known and Listener.objects.filter(pk=object_id, enabled=True).exists()
        idle = "start" if is_on else "stop"
        return [entry for entry in found if entry.method.original_function_name != idle]

    @admin.action(description="Start the selected listeners", permissions=["operate"])
    def start_listeners(self, request: HttpRequest, listeners: QuerySet[Listener]) -> None:
        by, now = Actor.in_console(request), timezone.now()
        started = sum(listener_control.start(listener, by, "", now) for listener in listeners)
        messages.success(request, f"Started: {started}.")

    @admin.action(description="Stop the selected listeners", permissions=["operate"])
    def stop_listeners(self, request: HttpRequest, listeners: QuerySet[Listener]) -> None:
        by, now = Actor.in_console(request), timezone.now()
        stopped = sum(listener_control.stop(listener, by, "", now) for listener in listeners)
        messages.success(request, f"Stopped: {stopped}.")

    @action(description="Start", url_path="start", permissions=["operate"], icon="play_arrow")
    def start(self, request: HttpRequest, object_id: str) -> HttpResponse:
        text = "The listener receives as soon as a listener process picks it up."
        return self._switch(request, object_id, listener_control.start, "Start", text)

    @action(description="Stop", url_path="stop", permissions=["operate"], icon="stop")
    def stop(self, request: HttpRequest, object_id: str) -> HttpResponse:
        text = (
            "Received changes are recorded and the position is kept. Salesforce retains new "
            "changes for 72 hours."
        )
        return self._switch(request, object_id, listener_control.stop, "Stop", text)

    def _switch(
        self, request: HttpRequest, object_id: str, act: Any, verb: str, text: str
    ) -> HttpResponse:
        listener: Listener = self.row(request, object_id)
        if request.method != "POST":
            title, back = f"{verb} {listener}", links.listener(listener.pk)
            asked = {"title": title, "text": f"{title}? {text}", "button": verb, "back": back}
            return self.page(request, "console/ask.html", original=listener, **asked)
        if act(listener, Actor.in_console(request), reason_of(request), timezone.now()):
            messages.success(
                request, f"{listener} {_DONE[verb]}. Listener processes apply this within seconds."
            )
        else:
            messages.info(request, f"{listener} was already {_DONE[verb]}.")
        return HttpResponseRedirect(links.listener(listener.pk))

    @action(
        description="Forget position",
        url_path="forget-position",
        permissions=["operate"],
        icon="history_toggle_off",
    )
    def forget_position(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Forget the position, after a page that asks for confirmation."""
        listener: Listener = self.row(request, object_id)
        now = timezone.now()
        try:
            if request.method != "POST" and not listener_control.obstacle(listener, now):
                begins_at_earliest = listener.first_replay == PRESETS[1]
                return self.page(
                    request,
                    "console/forget_position.html",
                    original=listener,
                    listener=listener,
                    position=position_of(listener),
                    cost=replay_cost(listener, now) if begins_at_earliest else "",
                    title="Forget position",
                )
            by, reason = Actor.in_console(request), reason_of(request)
            begins = listener_control.forget_position(listener, by, reason, now)
            messages.success(request, f"Position forgotten: {listener} starts again {begins}.")
        except NotNow as why:
            messages.error(request, str(why))
        return HttpResponseRedirect(links.listener(listener.pk))
