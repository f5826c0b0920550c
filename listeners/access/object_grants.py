"""Rights that grants on single listeners and connections (`listeners.models.grants`) give.

A user with any grant on a listener may view its mappings, mirrors, audit log entries, deliveries
and incidents. A user who may operate the listener may also redeliver, close incidents, and load,
verify and repair mirrors; a user who may change it may in addition edit its mappings and mirrors.
Values of sensitive fields stay masked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Model
from guardian.shortcuts import get_objects_for_user

from listeners.access.permissions import CLOSE, OPERATE, REDELIVER
from listeners.models import Connection, Listener

_CHANGES = ("change_listener",)
_OPERATES = ("operate_listener", *_CHANGES)
_SEES = ("view_listener", "delete_listener", *_OPERATES)
_HANGING = (
    "handlers.view_handlermapping",
    "handlers.view_delivery",
    "audit.view_auditlogentry",
    "audit.view_incident",
    "mirror.view_mirror",
)

_WRITES = tuple(
    name
    for verb in ("add", "change", "delete")
    for name in (f"handlers.{verb}_handlermapping", f"mirror.{verb}_mirror")
)

#: For each permission on all rows: the grants on a single row, any of which is enough instead.
_INSTEAD: dict[type[Model], dict[str, tuple[str, ...]]] = {
    Connection: {
        "listeners.view_connection": ("view_connection", "change_connection", "delete_connection"),
        "listeners.change_connection": ("change_connection",),
        "listeners.delete_connection": ("delete_connection",),
        OPERATE: ("change_connection",),  # to test it
    },
    Listener: {
        "listeners.view_listener": _SEES,
        "listeners.change_listener": _CHANGES,
        "listeners.delete_listener": ("delete_listener",),
        **dict.fromkeys(_HANGING, _SEES),
        **dict.fromkeys((OPERATE, REDELIVER, CLOSE), _OPERATES),
        **dict.fromkeys(_WRITES, _CHANGES),
    },
}


def reached(user: Any, model: type[Model], permissions: Iterable[str]) -> frozenset[int]:
    """Return the ids of the listeners or connections on which grants give the user `permissions`.

    One query per permission. A permission that cannot be granted on single rows gives no ids.
    """
    granted = [_granted(user, model, permission) for permission in permissions]
    return frozenset.intersection(*granted) if granted else frozenset()


def _granted(user: Any, model: type[Model], permission: str) -> frozenset[int]:
    codenames = _INSTEAD[model].get(permission)
    if not codenames:
        return frozenset()
    rows = get_objects_for_user(
        user, list(codenames), klass=model, any_perm=True, accept_global_perms=False
    )
    return frozenset(rows.order_by().values_list("pk", flat=True))
