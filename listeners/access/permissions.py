"""What users may do beside Django's four verbs, and who may do it without having been told so."""

from __future__ import annotations

from typing import Protocol

OPERATE = "listeners.operate_listener"
CLOSE = "audit.close_incident"
READ_AGAIN = "audit.read_quarantined_again"
SEE_SENSITIVE = "audit.view_sensitive"
REDELIVER = "handlers.redeliver_delivery"

#: Who may change such rows could do these before they had permissions of their own.
_COVERED_BY = {
    OPERATE: "listeners.change_listener",
    CLOSE: "audit.change_incident",
    READ_AGAIN: "audit.change_quarantined",
    REDELIVER: "handlers.change_delivery",
}


class User(Protocol):
    def has_perm(self, perm: str) -> bool: ...


def may(user: User, permission: str) -> bool:
    if user.has_perm(permission):
        return True
    wider = _COVERED_BY.get(permission)
    return wider is not None and user.has_perm(wider)
