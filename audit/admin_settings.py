"""Connections and users in the console, with what is done to them in the action log."""

from audit.admin_noted import NotedAdmin
from listeners.admin import ConnectionAdmin
from listeners.admin_users import GroupAdmin, UserAdmin


class NotedConnectionAdmin(NotedAdmin, ConnectionAdmin):
    pass


class NotedUserAdmin(NotedAdmin, UserAdmin):
    pass


class NotedGroupAdmin(NotedAdmin, GroupAdmin):
    pass
