"""Connections, which `audit.admin` registers, with users. Listeners are with their handlers, in
`handlers.admin_listeners`."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from listeners.admin_console import ConsoleAdmin
from listeners.admin_fields import NamesField, ObjectField, WithDefaults
from listeners.admin_secrets import SecretField, SecretTextarea
from listeners.connection_rules import KINDS, OF_A_KIND, warnings
from listeners.models import Connection
from listeners.secrets import described

REFERENCE_HELP = "Or a reference that is looked up when used and never stored: env:NAME, file:PATH."


def _condition(name: str) -> str:
    """Alpine's condition for a field: the kinds of authentication that heed it."""
    kinds = [kind for kind, needs in KINDS.items() if name in needs.heeded]
    return " || ".join(f"auth == '{kind}'" for kind in kinds)


class ConnectionForm(WithDefaults):
    client_secret = SecretField(
        label="Client secret", help_text=f"The connected app's consumer secret. {REFERENCE_HELP}"
    )
    password = SecretField(
        label="Password",
        is_token=False,
        help_text="The password, with the security token right after it where the org wants one. "
        + REFERENCE_HELP,
    )
    token = SecretField(
        label="Bearer token",
        help_text="An access token or session id. When it ends the listener stops until there is "
        f"a new one. {REFERENCE_HELP}",
    )
    refresh_token = SecretField(
        label="Refresh token",
        help_text="Where Salesforce rotates it, the token store keeps the one that is due; enter "
        f"one here again only after it was revoked. {REFERENCE_HELP}",
    )
    private_key = SecretField(
        label="Private key",
        is_token=False,
        widget=SecretTextarea,
        help_text=f"RSA, in PEM, without a passphrase. {REFERENCE_HELP}",
    )
    proxy_password = SecretField(label="Password", is_token=False, help_text=REFERENCE_HELP)
    scopes = NamesField(
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Asked for at the login, such as api, refresh_token. Empty: the app's own.",
    )
    optional_params = ObjectField(
        nothing={},
        label="Optional parameters",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text='Further parameters of the token request, such as {"device_id": "cdc"}. A value '
        "may be env:NAME or file:PATH.",
    )
    client_config = ObjectField(
        nothing={},
        label="HTTP client",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text="Of the login: http_version (1.0, 1.1, 2), custom_headers, custom_payload, "
        "connection_timeout, read_timeout. Of every request: tls with ca_bundle, "
        'client_certificate, client_key, verify. Such as {"tls": {"ca_bundle": "/etc/ca.pem"}}.',
    )
    refresh_config = ObjectField(
        nothing=None,
        label="Refresh",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="Use the refresh token of the login's answer: {} like the login itself, or "
        "refresh_url, scopes, optional_params, credential_bearer, client_config. Empty: log in "
        "with the password each time.",
    )

    class Meta:
        model = Connection
        fields = (
            "name",
            "auth",
            "base_url",
            "login_url",
            "is_sandbox",
            "token_url",
            "refresh_url",
            "client_id",
            "client_secret",
            "username",
            "password",
            "token",
            "refresh_token",
            "private_key",
            "audience",
            "scopes",
            "default_token_exp_time",
            "clock_skew",
            "optional_params",
            "credential_bearer",
            "client_config",
            "refresh_config",
            "token_store",
            "proxy_scheme",
            "proxy_host",
            "proxy_port",
            "proxy_username",
            "proxy_password",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in Connection.SECRETS:
            field = self.fields.get(name)  # absent for who may only look
            if isinstance(field, SecretField):
                field.remember(getattr(self.instance, name))
                self.initial.pop(name, None)

    def full_clean(self) -> None:
        super().full_clean()
        if self.is_bound and self.errors:
            self._say_what_is_not_seen()

    def _say_what_is_not_seen(self) -> None:
        """A typed secret is not shown again, and a field of another kind not at all."""
        heeded = KINDS[self.data["auth"]].heeded if self.data.get("auth") in KINDS else OF_A_KIND
        for name in list(self.errors):
            if name in OF_A_KIND - heeded:
                label = self.fields[name].label or name
                for message in self.errors[name]:
                    self.add_error(None, f"{label}: {message}")
        for name in Connection.SECRETS:
            field = self.fields.get(name)
            if isinstance(field, SecretField) and field.was_typed(self[name].data):
                self.add_error(name, "Enter it once more: it was not saved, and is not shown.")


class ConnectionAdmin(ConsoleAdmin):
    form = ConnectionForm
    list_display = ("name", "auth", "base_url", "credentials", "listener_count")
    list_filter = ("auth",)
    search_fields = ("name", "base_url")
    fieldsets = (
        (None, {"fields": ("name", "auth")}),
        (
            "Salesforce",
            {
                "description": "The org's own domain is found under Setup, My Domain. Name another "
                "address only where yours differs.",
                "fields": ("base_url", "login_url", "is_sandbox", "token_url", "refresh_url"),
            },
        ),
        (
            "Credentials",
            {
                "description": "Secrets are stored encrypted and never shown.",
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
                "description": "A proxy carries every request of this connection.",
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
    conditional_fields = {name: _condition(name) for name in sorted(OF_A_KIND)}

    @method_decorator(sensitive_post_parameters(*Connection.SECRETS))
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response: HttpResponse = super().changeform_view(request, *args, **kwargs)
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
        """The state of each secret that the login needs."""
        return ", ".join(
            f"{name.replace('_', ' ')} {described(getattr(connection, name))}"
            for name in KINDS[connection.auth].required
            if name in Connection.SECRETS
        )

    @admin.display(description="listeners", ordering="listener_count")
    def listener_count(self, connection: Any) -> int:
        return int(connection.listener_count)
