"""The pages of connections."""

from __future__ import annotations

import copy
from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters

from console.admin.connections.form import ConnectionForm, of_kind, visibility_conditions
from console.admin.connections.try_out import TryingOutAdmin
from listeners.models import Connection
from listeners.models.connection_rules import KINDS, warnings
from listeners.secrets.encrypted_field import described


class ConnectionAdmin(TryingOutAdmin):
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

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if "auth" not in context["adminform"].form.fields:  # the conditions need this field
            without_conditions = context["adminform"].model_admin = copy.copy(self)
            without_conditions.conditional_fields = {}
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    def save_model(self, request: HttpRequest, obj: Connection, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        for _, text in warnings(obj):
            messages.warning(request, f"{obj}: {text}")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Connection]:
        connections: QuerySet[Connection] = super().get_queryset(request)
        return connections.annotate(listener_count=Count("listeners"))

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
