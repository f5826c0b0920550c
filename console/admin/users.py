"""Users and groups in the console; what is done to them is in the action log."""

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

from console.admin.logged import NotedAdmin
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

_LISTENERS, _CONNECTIONS = "Single listeners, by the API", "Single connections, by the API"


class _Grants(TabularInline):
    """What a user or a group may do with single rows, by the API."""

    extra = 0
    tab = True

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Taken away and given: a row that can be edited asks for all there is to choose."""
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        grants: QuerySet[Any] = super().get_queryset(request)
        owner = "group" if issubclass(self.parent_model, Group) else "user"
        return grants.select_related(owner, "permission__content_type", "content_object")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "permission":
            field.queryset = field.queryset.select_related("content_type")  # is in its name
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


class UserAdmin(_UserAdmin, NotedAdmin):  # type: ignore[misc]
    inlines = (UserListeners, UserConnections)
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    get_action_choices = NotedAdmin.get_action_choices

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        """An address must not ask how somebody's key of the API begins, and be that user then."""
        if lookup.partition(LOOKUP_SEP)[0] == "auth_token":
            return False
        return bool(super().lookup_allowed(lookup, value, request))

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        """Not before there is a user: a new one has a name and a password only."""
        return super().get_inlines(request, obj) if obj else ()

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Nobody makes himself, or another, more than he is."""
        own = super().get_readonly_fields(request, obj)
        return own if request.user.is_superuser else (*own, "is_superuser")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and _is_below(obj, request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _is_below(obj, request)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """What goes with a user, without the user's key of the API, which is its own name."""
        found, *rest = super().get_deleted_objects(objs, request)
        keys = Token.objects.filter(user__in=objs).values_list("key", flat=True)
        return _without(found, set(keys)), *rest


def _is_below(user: Any, request: HttpRequest) -> bool:
    """Superusers are left to superusers."""
    return request.user.is_superuser or not getattr(user, "is_superuser", False)


def _without(lines: list[Any], keys: set[str]) -> list[Any]:
    """The nested lines of a deletion, in which a key stands for itself."""
    return [
        _without(line, keys)
        if isinstance(line, list)
        else "API token"
        if any(key in str(line) for key in keys)
        else line
        for line in lines
    ]


class GroupAdmin(DjangoGroupAdmin, NotedAdmin):  # type: ignore[misc]
    inlines = (GroupListeners, GroupConnections)
    get_action_choices = NotedAdmin.get_action_choices


def register_users() -> None:
    """Give the user model its console page, once every app has registered its own.

    A user model of the site (AUTH_USER_MODEL) keeps the page that the site gave it, and gets ours
    where it is Django's with more fields; another one has none until the site registers it.
    """
    model = get_user_model()
    is_djangos = model._meta.label == "auth.User"
    if admin.site.is_registered(model) and not is_djangos:
        return
    if is_djangos:
        admin.site.unregister(model)
    if issubclass(model, AbstractUser) and model.USERNAME_FIELD == "username":
        admin.site.register(model, UserAdmin)
