"""Creates listeners: offers the channels of an org, and tries a new listener out before it is
saved."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    JsonResponse,
)
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_POST

from audit.action_log import Actor
from console.admin.connections.check_stream import answer, flaws
from console.admin.listeners.forms import FIELDSETS, ChannelForm, NewListenerForm, beginning
from console.admin.listeners.start_stop import OperatingAdmin
from consumer.diagnostics.connection_check import checked
from consumer.diagnostics.offered_channels import channels_of
from consumer.diagnostics.short_timeouts import listener_with_short_timeouts, with_short_timeouts
from listeners.models import Connection, Listener, ListenerProcess


class CreatingAdmin(OperatingAdmin):
    add_form_template = "console/listener_add.html"
    add_fieldsets = FIELDSETS
    pages = (("channels/", "channels", "channels"), ("test/", "try_new", "try_new"))

    # What the page asks for

    @method_decorator(require_POST)
    def channels(self, request: HttpRequest) -> JsonResponse:
        """What the org of a connection offers. By POST: it may log in."""
        if not (self.has_add_permission(request) or self.has_change_permission(request)):
            raise PermissionDenied
        connection = get_object_or_404(Connection, pk=_number(request.POST.get("connection")))
        return JsonResponse(channels_of(connection))

    @method_decorator(require_POST)
    def try_new(self, request: HttpRequest) -> HttpResponseBase:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = self.get_form(request)(request.POST)
        if found := flaws(form, besides=("name",)):
            return answer(found)
        listener: Listener = form.instance
        hasty = with_short_timeouts(listener.connection)
        heard = [listener_with_short_timeouts(listener, hasty)]
        return answer(checked(hasty, heard, Actor.in_console(request)))

    # The page

    def get_form(
        self, request: HttpRequest, obj: Listener | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        kwargs["form"] = ChannelForm if obj else NewListenerForm
        form_class = super().get_form(request, obj, change, **kwargs)
        form_class.may_change_connections = request.user.has_perm("listeners.change_connection")
        return form_class

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        asked: dict[str, Any] = super().get_changeform_initial_data(request)
        return beginning() | asked

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        if obj is not None:
            return super().page_context(request, obj)
        return {"test_url": reverse("admin:listeners_listener_try_new")}

    def response_post_save_add(self, request: HttpRequest, obj: Listener) -> HttpResponse:
        messages.info(request, f"Next: choose what its event handlers run. {_when(obj)}")
        # On to the new listener's page, where its handlers are chosen.
        return HttpResponseRedirect(reverse("admin:listeners_listener_change", args=[obj.pk]))


def _when(listener: Listener) -> str:
    """It begins to receive."""
    if not listener.enabled:
        return "It is not enabled: start it when you are ready."
    if ListenerProcess.objects.present():
        return "A listener process runs, and takes it up within seconds."
    return "It begins to receive when a listener process runs: manage.py run_cdc_listener."


def _number(text: str | None) -> int:
    """Of a row that there may be."""
    return int(text) if text and text.isdecimal() and len(text) < 19 else 0
