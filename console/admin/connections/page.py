"""The pages of connections, with a test of the settings in the form before they are saved."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.forms.widgets import Script
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from audit.action_log import Actor
from console.admin.base import LoggedAdmin
from console.admin.connections.check_stream import answer, flaws
from console.admin.connections.form import ConnectionForm, of_kind, visibility_conditions
from consumer.diagnostics.connection_check import checked
from consumer.diagnostics.short_timeouts import listener_with_short_timeouts, with_short_timeouts
from consumer.diagnostics.unsaved_connection import SuccessorTokens, spent, try_out
from listeners.access.permissions import OPERATE, may
from listeners.models import Connection
from listeners.models.connection_rules import KINDS, warnings
from listeners.secrets.encrypted_field import described


class ConnectionAdmin(LoggedAdmin):
    form = ConnectionForm
    list_display = ("name", "auth", "base_url", "credentials", "listener_count")
    list_filter = ("auth",)
    empty_title = "No connections yet"
    empty_text = "A connection holds the address of a Salesforce org and the credentials to log in."
    search_fields = ("name", "base_url")
    fieldsets = (
        (None, {"fields": ("name", "auth")}),
        (
            "Salesforce",
            {
                "description": "Find your org's domain in Salesforce under Setup, My Domain. Leave "
                "the other addresses empty unless yours differ.",
                "fields": ("base_url", "login_url", "is_sandbox", "token_url", "refresh_url"),
            },
        ),
        (
            "Credentials",
            {
                "description": "Secrets are encrypted in the database and never shown.",
                "fields": (
                    "client_id",
                    "client_secret",
                    "username",
                    "password",
                    "token",
                    "refresh_token",
                    "private_key",
                    "audience",
                ),
            },
        ),
        (
            "Tokens",
            {
                "classes": ("collapse",),
                "fields": (
                    "token_store",
                    "default_token_exp_time",
                    "clock_skew",
                    "scopes",
                    "optional_params",
                    "credential_bearer",
                    "refresh_config",
                ),
            },
        ),
        (
            "Network",
            {
                "classes": ("collapse",),
                "description": "A proxy is used for every request of this connection.",
                "fields": (
                    "client_config",
                    "proxy_scheme",
                    "proxy_host",
                    "proxy_port",
                    "proxy_username",
                    "proxy_password",
                ),
            },
        ),
    )
    conditional_fields = visibility_conditions()
    condition_field = "auth"
    change_form_after_template = "console/connection_test.html"
    pages = (("test/", "try_new", "try_new"), ("<int:pk>/test/", "try", "try_stored"))

    class Media:
        css: ClassVar = {"all": ["console/connecting.css"]}
        js: ClassVar = [Script("console/trial.js", defer=True)]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Connection]:
        connections: QuerySet[Connection] = super().get_queryset(request)
        return connections.annotate(listener_count=Count("listeners"))

    # Columns

    @admin.display(description="credentials")
    def credentials(self, connection: Connection) -> str:
        """Return the state of each secret that the login needs."""
        return ", ".join(
            f"{name.replace('_', ' ')} {described(getattr(connection, name))}"
            for name in KINDS[connection.auth].required
            if name in Connection.SECRETS
        )

    @admin.display(description="listeners", ordering="listener_count")
    def listener_count(self, connection: Any) -> int:
        return int(connection.listener_count)

    # The page

    @method_decorator(sensitive_post_parameters(*Connection.SECRETS))
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response: HttpResponse = super().changeform_view(request, *args, **kwargs)
        return response

    def get_fieldsets(self, request: HttpRequest, obj: Connection | None = None) -> Any:
        """Show a read-only user the fields of the kind of login alone."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        return of_kind(fieldsets, obj.auth)

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return super().page_context(request, obj) | {
            "test_url": self._test_url(request, obj),
            "test_is_of_what_is_stored": obj and not self.has_change_permission(request, obj),
        }

    def save_model(self, request: HttpRequest, obj: Connection, form: Any, change: bool) -> None:
        used_up = SuccessorTokens(request.session).put_in(obj)
        super().save_model(request, obj, form, change)
        if used_up:
            spent(obj, used_up)
        for _, text in warnings(obj):
            messages.warning(request, f"{obj}: {text}")

    # The test

    @method_decorator((require_POST, sensitive_post_parameters(*Connection.SECRETS)))
    def try_new(self, request: HttpRequest) -> HttpResponseBase:
        if not self.has_add_permission(request):
            raise PermissionDenied
        return self._tried(request, None)

    @method_decorator((require_POST, sensitive_post_parameters(*Connection.SECRETS)))
    def try_stored(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Test the entered settings, or the stored ones for a user who may not change them."""
        stored = self.row(request, str(pk))
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

    def _test_url(self, request: HttpRequest, connection: Connection | None) -> str:
        """Return the address of the test; empty for a user who may not run it."""
        if connection is None:
            return reverse("admin:listeners_connection_try_new")
        if self._may_try(request, connection):
            return reverse("admin:listeners_connection_try", args=[connection.pk])
        return ""


def _listeners(connection: Connection) -> list[Any]:
    return list(connection.listeners.order_by("-enabled", "name"))
