"""The pages of connections, with a test of the settings in the form before they are saved."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from audit.action_log import Actor
from console.admin.connections.form import ConnectionForm, fieldsets_of_kind, visibility_conditions
from console.admin.settings_tests import SettingsTestAdmin
from consumer.diagnostics.connection_check import checked
from consumer.diagnostics.findings import Finding
from consumer.diagnostics.short_timeouts import listener_with_short_timeouts, with_short_timeouts
from consumer.diagnostics.unsaved_connection import SuccessorTokens, note_spent, try_out
from listeners.models import Connection
from listeners.models.connection_rules import KINDS, warnings
from listeners.secrets.encrypted_field import described


class ConnectionAdmin(SettingsTestAdmin):
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

    def get_fieldsets(self, request: HttpRequest, obj: Connection | None = None) -> Any:
        """Show a read-only user the fields of the kind of login alone."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        return fieldsets_of_kind(fieldsets, obj.auth)

    def save_model(self, request: HttpRequest, obj: Connection, form: Any, change: bool) -> None:
        replaced_token = SuccessorTokens(request.session).put_in(obj)
        super().save_model(request, obj, form, change)
        if replaced_token:
            note_spent(obj, replaced_token)
        for _, text in warnings(obj):
            messages.warning(request, f"{obj}: {text}")

    # The test

    def test_stored(self, request: HttpRequest, stored: Connection) -> Iterable[Finding]:
        tested = with_short_timeouts(stored)
        listeners = [
            listener_with_short_timeouts(listener, tested) for listener in _listeners(stored)
        ]
        return checked(tested, listeners, Actor.in_console(request))

    def test_entered(
        self, request: HttpRequest, form: Any, stored: Connection | None
    ) -> Iterable[Finding]:
        return try_out(
            form.instance,
            _listeners(stored) if stored else [],
            Actor.in_console(request),
            stored=stored,
            changed=form.changed_data if stored else (),
            successors=SuccessorTokens(request.session),
        )


def _listeners(connection: Connection) -> list[Any]:
    return list(connection.listeners.order_by("-enabled", "name"))
