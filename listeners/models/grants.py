"""Permissions of users and groups on single listeners and connections, read by django-guardian.

Unlike guardian's generic tables, these have foreign keys: a grant is deleted with its object.
"""

from __future__ import annotations

from django.contrib.auth.models import Permission
from django.db import models
from django.db.models import Q
from guardian.models import (
    BaseObjectPermission,
    GroupObjectPermissionBase,
    UserObjectPermissionBase,
)

from listeners.models.connection import Connection
from listeners.models.listener import Listener


def _permission(*codenames: str) -> models.ForeignKey[Permission]:
    """Return the field of a permission that can be granted on a single object."""
    choices = Q(content_type__app_label="listeners", codename__in=codenames)
    return models.ForeignKey(Permission, models.CASCADE, limit_choices_to=choices, related_name="+")


class ListenerGrant(BaseObjectPermission):
    permission = _permission(
        "view_listener", "operate_listener", "change_listener", "delete_listener"
    )
    content_object = models.ForeignKey(Listener, models.CASCADE, verbose_name="listener")

    class Meta:
        abstract = True
        verbose_name = "permission for one listener"
        verbose_name_plural = "permissions for single listeners"


class ListenerUserGrant(ListenerGrant, UserObjectPermissionBase):
    class Meta(ListenerGrant.Meta, UserObjectPermissionBase.Meta):
        pass


class ListenerGroupGrant(ListenerGrant, GroupObjectPermissionBase):
    class Meta(ListenerGrant.Meta, GroupObjectPermissionBase.Meta):
        pass


class ConnectionGrant(BaseObjectPermission):
    permission = _permission("view_connection", "change_connection", "delete_connection")
    content_object = models.ForeignKey(Connection, models.CASCADE, verbose_name="connection")

    class Meta:
        abstract = True
        verbose_name = "permission for one connection"
        verbose_name_plural = "permissions for single connections"


class ConnectionUserGrant(ConnectionGrant, UserObjectPermissionBase):
    class Meta(ConnectionGrant.Meta, UserObjectPermissionBase.Meta):
        pass


class ConnectionGroupGrant(ConnectionGrant, GroupObjectPermissionBase):
    class Meta(ConnectionGrant.Meta, GroupObjectPermissionBase.Meta):
        pass
