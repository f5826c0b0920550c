"""Whom single listeners and connections were granted to (`listeners.models.grants`), and what that
lets them do.

Who was granted a listener sees what hangs on it: its mappings, entries, deliveries and incidents.
Who operates it may also redeliver and close there; who changes it may do that and edit its
mappings. Values of sensitive fields stay masked.
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
)

_WRITES = tuple(f"handlers.{verb}_handlermapping" for verb in ("add", "change", "delete"))

#: What takes a permission for all rows takes one of these for a single row.
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
    """Ids of the listeners or of the connections with which this user may do what takes these
    permissions otherwise. One query each; what nobody can be granted alone reaches none."""
    found: frozenset[int] | None = None
    for permission in permissions:
        ids = _granted(user, model, permission)
        found = ids if found is None else found & ids
    return found or frozenset()


def _granted(user: Any, model: type[Model], permission: str) -> frozenset[int]:
    codenames = _INSTEAD[model].get(permission)
    if not codenames:
        return frozenset()
    rows = get_objects_for_user(
        user, list(codenames), klass=model, any_perm=True, accept_global_perms=False
    )
    return frozenset(rows.order_by().values_list("pk", flat=True))
