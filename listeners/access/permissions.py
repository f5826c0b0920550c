"""The product's own permissions, and the Django permissions that imply them."""

from __future__ import annotations

from typing import Protocol

OPERATE = "listeners.operate_listener"
CLOSE = "audit.close_incident"
READ_AGAIN = "audit.read_quarantined_again"
SEE_SENSITIVE = "audit.view_sensitive"
REDELIVER = "handlers.redeliver_delivery"

#: The wider Django permission that implies each permission.
_COVERED_BY = {
    OPERATE: "listeners.change_listener",
    CLOSE: "audit.change_incident",
    READ_AGAIN: "audit.change_quarantined",
    REDELIVER: "handlers.change_delivery",
}


class User(Protocol):
    def has_perm(self, perm: str) -> bool: ...


def may(user: User, permission: str) -> bool:
    """Return whether the user has the permission, or the wider one that implies it."""
    if user.has_perm(permission):
        return True
    wider = _COVERED_BY.get(permission)
    return wider is not None and user.has_perm(wider)
