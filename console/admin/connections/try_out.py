"""The connection test: the button, and the views that test unsaved settings."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.exceptions import PermissionDenied
from django.forms.widgets import Script
from django.http import Http404, HttpRequest, HttpResponseBase
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from audit.action_log import Actor
from console.admin.connections.check_stream import answer, flaws
from console.admin.logged import LoggedAdmin
from consumer.diagnostics.connection_check import checked
from consumer.diagnostics.short_timeouts import listener_with_short_timeouts, with_short_timeouts
from consumer.diagnostics.unsaved_connection import SuccessorTokens, spent, try_out
from listeners.access.permissions import OPERATE, may
from listeners.models import Connection


class TryingOutAdmin(LoggedAdmin):
    change_form_after_template = "console/connection_test.html"
    pages = (("test/", "try_new", "try_new"), ("<int:pk>/test/", "try", "try_stored"))

    class Media:
        css: ClassVar = {"all": ["console/connecting.css"]}
        js: ClassVar = [Script("console/trial.js", defer=True)]

    @method_decorator((require_POST, sensitive_post_parameters(*Connection.SECRETS)))
    def try_new(self, request: HttpRequest) -> HttpResponseBase:
        if not self.has_add_permission(request):
            raise PermissionDenied
        return self._tried(request, None)

    @method_decorator((require_POST, sensitive_post_parameters(*Connection.SECRETS)))
    def try_stored(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Test the entered settings, or the stored ones for a user who may not change them."""
        stored = self.get_object(request, str(pk))
        if stored is None:
            raise Http404
        if not self._may_try(request, stored):
            raise PermissionDenied
        if self.has_change_permission(request, stored):
            return self._tried(request, stored)
        impatient = with_short_timeouts(stored)
        listeners = [
            listener_with_short_timeouts(listener, impatient) for listener in _listeners(stored)
        ]
        return answer(checked(impatient, listeners, Actor.in_console(request)))

    def _tried(self, request: HttpRequest, stored: Connection | None) -> HttpResponseBase:
        entered = Connection.objects.get(pk=stored.pk) if stored else Connection()
        form_class = self.get_form(request, stored, change=stored is not None)
        form = form_class(request.POST, instance=entered)
        if found := flaws(form, ignoring=("name",)):
            return answer(found)
        findings = try_out(
            entered,
            _listeners(stored) if stored else [],
            Actor.in_console(request),
            stored=stored,
            changed=form.changed_data if stored else (),
            successors=SuccessorTokens(request.session),
        )
        return answer(findings)

    def _may_try(self, request: HttpRequest, connection: Connection) -> bool:
        if self.has_change_permission(request, connection):
            return True
        return self.has_view_permission(request, connection) and may(request.user, OPERATE)

    def save_model(self, request: HttpRequest, obj: Connection, form: Any, change: bool) -> None:
        used_up = SuccessorTokens(request.session).put_in(obj)
        super().save_model(request, obj, form, change)
        if used_up:
            spent(obj, used_up)

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return {
            "test_url": self._test_url(request, obj),
            "test_is_of_what_is_stored": obj and not self.has_change_permission(request, obj),
        }

    def _test_url(self, request: HttpRequest, connection: Connection | None) -> str:
        """Return the address of the test; empty for a user who may not run it."""
        if connection is None:
            return reverse("admin:listeners_connection_try_new")
        if self._may_try(request, connection):
            return reverse("admin:listeners_connection_try", args=[connection.pk])
        return ""


def _listeners(connection: Connection) -> list[Any]:
    return list(connection.listeners.order_by("-enabled", "name"))
