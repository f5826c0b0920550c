"""The pages of users and groups; changes to them are in the action log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import AbstractUser, Group
from django.db.models import QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest
from rest_framework.authtoken.models import Token
from unfold.admin import TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from console.admin.base import LoggedAdmin
from console.admin.concurrent_form import ConcurrentForm
from listeners.models import (
    ConnectionGroupGrant,
    ConnectionUserGrant,
    ListenerGroupGrant,
    ListenerUserGrant,
)

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    _UserAdmin = DjangoUserAdmin[User]
else:
    _UserAdmin = DjangoUserAdmin

_LISTENERS, _CONNECTIONS = "Listener permissions (API)", "Connection permissions (API)"


class _Grants(TabularInline):
    """Permissions of a user or group on single rows, used by the API."""

    extra = 0
    tab = True

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Grants are added and removed, not edited: an editable row would query every choice."""
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        grants: QuerySet[Any] = super().get_queryset(request)
        owner = "group" if issubclass(self.parent_model, Group) else "user"
        return grants.select_related(owner, "permission__content_type", "content_object")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "permission":
            field.queryset = field.queryset.select_related("content_type")  # its name contains it
        return field


class UserListeners(_Grants):
    model = ListenerUserGrant
    verbose_name_plural = _LISTENERS


class UserConnections(_Grants):
    model = ConnectionUserGrant
    verbose_name_plural = _CONNECTIONS


class GroupListeners(_Grants):
    model = ListenerGroupGrant
    verbose_name_plural = _LISTENERS


class GroupConnections(_Grants):
    model = ConnectionGroupGrant
    verbose_name_plural = _CONNECTIONS


class UserForm(ConcurrentForm, UserChangeForm):
    """Shows no password, and keeps what others change."""


class UserAdmin(_UserAdmin, LoggedAdmin):  # type: ignore[misc]  # stubs of Django and unfold differ
    inlines = (UserListeners, UserConnections)
    form = UserForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    get_action_choices = LoggedAdmin.get_action_choices

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        """Refuse lookups of API keys, which would let a user guess the key of another."""
        if lookup.partition(LOOKUP_SEP)[0] == "auth_token":
            return False
        return bool(super().lookup_allowed(lookup, value, request))

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        """Hide the grants of a new user, whose form has a name and a password only."""
        return super().get_inlines(request, obj) if obj else ()

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Only superusers make others superusers."""
        own = super().get_readonly_fields(request, obj)
        return own if request.user.is_superuser else (*own, "is_superuser")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and _is_below(obj, request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _is_below(obj, request)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Return what is deleted with a user, with API keys masked: the key is the token's name."""
        found, *rest = super().get_deleted_objects(objs, request)
        keys = Token.objects.filter(user__in=objs).values_list("key", flat=True)
        return _without(found, set(keys)), *rest


def _is_below(user: Any, request: HttpRequest) -> bool:
    """Return whether the user may edit that user: only superusers edit superusers."""
    return request.user.is_superuser or not getattr(user, "is_superuser", False)


def _without(lines: list[Any], keys: set[str]) -> list[Any]:
    """Return the nested lines of a deletion with each key replaced."""
    return [
        _without(line, keys)
        if isinstance(line, list)
        else "API token"
        if any(key in str(line) for key in keys)
        else line
        for line in lines
    ]


class GroupAdmin(DjangoGroupAdmin, LoggedAdmin):  # type: ignore[misc]  # as above
    inlines = (GroupListeners, GroupConnections)
    get_action_choices = LoggedAdmin.get_action_choices


def register_users() -> None:
    """Register the user model's page, after every app has registered its own.

    A custom user model (AUTH_USER_MODEL) keeps the page that its app registered. Without one it
    gets this page if it extends Django's AbstractUser, and no page otherwise.
    """
    model = get_user_model()
    is_djangos = model._meta.label == "auth.User"
    if admin.site.is_registered(model) and not is_djangos:
        return
    if is_djangos:
        admin.site.unregister(model)
    if issubclass(model, AbstractUser) and model.USERNAME_FIELD == "username":
        admin.site.register(model, UserAdmin)
