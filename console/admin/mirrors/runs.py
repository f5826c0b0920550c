"""Buttons of a mirror's page: load, verify, repair, cancel a run."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_POST

from audit.action_log import Actor
from console import links
from console.admin.base import LoggedAdmin
from console.admin.redeliver_action import reason_of
from listeners.access.permissions import OPERATE, may
from mirror import service
from mirror.models import Mirror, MirrorRun

Kind = MirrorRun.Kind
#: What a button requests: the kind of run, and its options.
_REQUESTS: dict[str, tuple[Kind, dict[str, Any]]] = {
    "verify": (Kind.VERIFY, {"depth": "sample"}),
    "verify-full": (Kind.VERIFY, {"depth": "full"}),
    "repair": (Kind.REPAIR, {}),
    "accept-deletions": (Kind.REPAIR, {"accept_deletions": True}),
}
_LOAD = (
    "Reads every record again and writes what differs. The table stays usable, and changes are "
    "applied all the while. Salesforce counts the load against the org's API limits."
)


class RunningAdmin(LoggedAdmin):
    """Requests and cancels runs of mirrors."""

    def load_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Request a load, after a page that asks for confirmation."""
        mirror = self._operated(request, pk)
        if request.method != "POST":
            title, back = f"Load {mirror} again", links.mirror(pk)
            asked = {"title": title, "text": _LOAD, "button": "Load", "back": back}
            return self.page(request, "console/ask.html", original=mirror, **asked)
        return self._requested(request, mirror, Kind.LOAD, {})

    @method_decorator(require_POST)
    def request_view(self, request: HttpRequest, pk: int, what: str) -> HttpResponse:
        if what not in _REQUESTS:
            raise Http404
        kind, options = _REQUESTS[what]
        return self._requested(request, self._operated(request, pk), kind, options)

    def cancel_view(self, request: HttpRequest, pk: int, run: int) -> HttpResponse:
        mirror = self._operated(request, pk)
        found = get_object_or_404(mirror.runs, pk=run)
        if request.method != "POST":
            kind = found.get_kind_display().lower()
            text = "Rows that it wrote stay. Changes are still applied as they arrive."
            asked = {"title": f"Cancel the {kind} of {mirror}", "button": "Cancel the run"}
            asked |= {"text": text, "back": links.mirror(pk)}
            return self.page(request, "console/ask.html", original=mirror, **asked)
        if not service.cancel_run(found, Actor.in_console(request), reason_of(request)):
            messages.info(request, "The run has already ended.")
        return HttpResponseRedirect(links.mirror(pk))

    def _operated(self, request: HttpRequest, pk: int) -> Mirror:
        if not may(request.user, OPERATE) or not self.has_view_permission(request):
            raise PermissionDenied
        return get_object_or_404(Mirror, pk=pk)

    def _requested(
        self, request: HttpRequest, mirror: Mirror, kind: Kind, options: dict[str, Any]
    ) -> HttpResponse:
        by = Actor.in_console(request)
        run = service.request_run(mirror, kind, options, by)
        if run.options != options:
            name = run.get_kind_display().lower()
            messages.info(
                request, f"A {name} was requested before. It does what you requested too."
            )
        return HttpResponseRedirect(links.mirror(mirror.pk))
