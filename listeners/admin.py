"""Connections and users. Listeners are with their handlers, in `handlers.admin_listeners`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from listeners.admin_console import ConsoleAdmin
from listeners.admin_secrets import SecretField, described
from listeners.models import Connection

if TYPE_CHECKING:
    _ConnectionForm = forms.ModelForm[Connection]
    _UserAdmin = DjangoUserAdmin[User]
else:
    _ConnectionForm = forms.ModelForm
    _UserAdmin = DjangoUserAdmin

Auth = Connection.Auth

REFERENCE_HELP = "Or a reference that is looked up when used and never stored: env:NAME, file:PATH."


def _only_for(*kinds: str) -> str:
    """Alpine's condition for a field that these kinds of authentication need."""
    return " || ".join(f"auth == '{kind}'" for kind in kinds)


class ConnectionForm(_ConnectionForm):
    client_secret = SecretField(
        label="Client secret", help_text=f"The connected app's consumer secret. {REFERENCE_HELP}"
    )
    password = SecretField(
        label="Password",
        help_text="The password, with the security token right after it where the org wants one. "
        + REFERENCE_HELP,
    )
    refresh_token = SecretField(
        label="Refresh token",
        help_text=f"Salesforce may rotate it: the new one is stored here then. {REFERENCE_HELP}",
    )

    class Meta:
        model = Connection
        fields = (
            "name",
            "auth",
            "base_url",
            "token_url",
            "refresh_url",
            "client_id",
            "client_secret",
            "username",
            "password",
            "refresh_token",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in Connection.SECRETS:
            field = self.fields.get(name)  # absent for who may only look
            if isinstance(field, SecretField):
                field.remember(getattr(self.instance, name))
                self.initial.pop(name, None)


@admin.register(Connection)
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
                "description": "The org's own domain, found under Setup, My Domain. The login "
                "address follows from it; name another only where yours differs.",
                "fields": ("base_url", "token_url", "refresh_url"),
            },
        ),
        (
            "Credentials",
            {
                "description": "Only what the chosen authentication needs. Client credentials: "
                "client ID and secret. Username and password: both, with the client ID and secret "
                "of the connected app. Refresh token: the token, client ID and secret. Secrets are "
                "stored encrypted and never shown.",
                "fields": (
                    "client_id",
                    "client_secret",
                    "username",
                    "password",
                    "refresh_token",
                ),
            },
        ),
    )
    conditional_fields = {
        "token_url": _only_for(Auth.CLIENT_CREDENTIALS, Auth.PASSWORD),
        "refresh_url": _only_for(Auth.REFRESH_TOKEN),
        "username": _only_for(Auth.PASSWORD),
        "password": _only_for(Auth.PASSWORD),
        "refresh_token": _only_for(Auth.REFRESH_TOKEN),
    }

    @method_decorator(sensitive_post_parameters(*Connection.SECRETS))
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response: HttpResponse = super().changeform_view(request, *args, **kwargs)
        return response

    def get_queryset(self, request: HttpRequest) -> QuerySet[Connection]:
        connections: QuerySet[Connection] = super().get_queryset(request)
        return connections.annotate(listener_count=Count("listeners"))

    @admin.display(description="credentials")
    def credentials(self, connection: Connection) -> str:
        """The state of each secret that the login needs."""
        return ", ".join(
            f"{name.replace('_', ' ')} {described(getattr(connection, name))}"
            for name in Connection.REQUIRED.get(connection.auth, ())
            if name in Connection.SECRETS
        )

    @admin.display(description="listeners", ordering="listener_count")
    def listener_count(self, connection: Any) -> int:
        return int(connection.listener_count)


admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(_UserAdmin, ConsoleAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    get_action_choices = ConsoleAdmin.get_action_choices


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ConsoleAdmin):
    get_action_choices = ConsoleAdmin.get_action_choices
