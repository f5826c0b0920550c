"""The page that creates a listener: it offers the org's channels and tests before saving."""

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
from console import links
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

    # Requests of the page's scripts

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
        impatient = with_short_timeouts(listener.connection)
        listeners = [listener_with_short_timeouts(listener, impatient)]
        return answer(checked(impatient, listeners, Actor.in_console(request)))

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
        context = super().page_context(request, obj)
        if obj is None:
            context["test_url"] = reverse("admin:listeners_listener_try_new")
        return context

    def response_post_save_add(self, request: HttpRequest, obj: Listener) -> HttpResponse:
        messages.info(request, f"Next: choose the handlers that get its changes. {_when(obj)}")
        return HttpResponseRedirect(links.listener(obj.pk))


def _when(listener: Listener) -> str:
    """Say when the listener starts to receive."""
    if not listener.enabled:
        return "The listener is disabled: start it when you are ready."
    if ListenerProcess.objects.present():
        return "A listener process is running and starts it within seconds."
    return "It starts to receive once a listener process runs: manage.py run_cdc_listener."
