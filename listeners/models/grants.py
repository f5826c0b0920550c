"""Permissions of users and groups on single listeners and connections, read by django-guardian.

Unlike guardian's generic tables, these have foreign keys: a grant is deleted with its object.
"""

from __future__ import annotations

from django.contrib.auth.models import Permission
from django.db import models
from django.db.models import Q
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from listeners.models.connection import Connection
from listeners.models.listener import Listener


def _of(*codenames: str) -> Q:
    return Q(content_type__app_label="listeners", codename__in=codenames)


#: The permissions that can be granted on a single object.
OF_A_LISTENER = _of("view_listener", "operate_listener", "change_listener", "delete_listener")
OF_A_CONNECTION = _of("view_connection", "change_connection", "delete_connection")


class ListenerUserGrant(UserObjectPermissionBase):
    permission = models.ForeignKey(
        Permission, models.CASCADE, limit_choices_to=OF_A_LISTENER, related_name="+"
    )
    content_object = models.ForeignKey(
        Listener, models.CASCADE, related_name="user_grants", verbose_name="listener"
    )

    class Meta(UserObjectPermissionBase.Meta):
        verbose_name = "permission for one listener"
        verbose_name_plural = "permissions for single listeners"


class ListenerGroupGrant(GroupObjectPermissionBase):
    permission = models.ForeignKey(
        Permission, models.CASCADE, limit_choices_to=OF_A_LISTENER, related_name="+"
    )
    content_object = models.ForeignKey(
        Listener, models.CASCADE, related_name="group_grants", verbose_name="listener"
    )

    class Meta(GroupObjectPermissionBase.Meta):
        verbose_name = "permission for one listener"
        verbose_name_plural = "permissions for single listeners"


class ConnectionUserGrant(UserObjectPermissionBase):
    permission = models.ForeignKey(
        Permission, models.CASCADE, limit_choices_to=OF_A_CONNECTION, related_name="+"
    )
    content_object = models.ForeignKey(
        Connection, models.CASCADE, related_name="user_grants", verbose_name="connection"
    )

    class Meta(UserObjectPermissionBase.Meta):
        verbose_name = "permission for one connection"
        verbose_name_plural = "permissions for single connections"


class ConnectionGroupGrant(GroupObjectPermissionBase):
    permission = models.ForeignKey(
        Permission, models.CASCADE, limit_choices_to=OF_A_CONNECTION, related_name="+"
    )
    content_object = models.ForeignKey(
        Connection, models.CASCADE, related_name="group_grants", verbose_name="connection"
    )

    class Meta(GroupObjectPermissionBase.Meta):
        verbose_name = "permission for one connection"
        verbose_name_plural = "permissions for single connections"
