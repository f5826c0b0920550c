"""Connections and users in the console, with what is done to them in the action log."""

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser

from console.admin.connections.page import ConnectionAdmin
from console.admin.logged import NotedAdmin
from console.admin.users import GroupAdmin, UserAdmin


class NotedConnectionAdmin(NotedAdmin, ConnectionAdmin):
    pass


class NotedUserAdmin(NotedAdmin, UserAdmin):
    pass


class NotedGroupAdmin(NotedAdmin, GroupAdmin):
    pass


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
        admin.site.register(model, NotedUserAdmin)
