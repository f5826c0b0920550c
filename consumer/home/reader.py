"""What the reader of the page may see: of the rest neither numbers nor links."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest

from handlers.admin_navigation import may_see

#: Of what takes a while, each kind has its own.
_LONG_WORK = ("handlers.view_redelivery", "audit.view_reconciliation", "audit.view_work")


@dataclass(frozen=True)
class Reader:
    sees_listeners: bool
    sees_entries: bool
    sees_deliveries: bool
    sees_incidents: bool
    sees_workers: bool
    adds_connections: bool
    adds_listeners: bool
    long_work: frozenset[str]

    @classmethod
    def of(cls, request: HttpRequest) -> Reader:
        may = request.user.has_perm
        return cls(
            sees_listeners=may_see(request, "listeners", "listener"),
            sees_entries=may_see(request, "audit", "auditlogentry"),
            sees_deliveries=may_see(request, "handlers", "delivery"),
            sees_incidents=may_see(request, "audit", "incident"),
            sees_workers=may_see(request, "handlers", "worker"),
            adds_connections=may("listeners.add_connection"),
            adds_listeners=may("listeners.add_listener"),
            long_work=frozenset(filter(may, _LONG_WORK)),
        )

    def has_perm(self, permission: str) -> bool:
        """As a user is asked, by what lists long work."""
        return permission in self.long_work

    @property
    def sees_anything(self) -> bool:
        return any(self._sights)

    @property
    def sees_everything(self) -> bool:
        return all(self._sights)

    @property
    def _sights(self) -> tuple[bool, ...]:
        return (
            self.sees_listeners,
            self.sees_entries,
            self.sees_deliveries,
            self.sees_incidents,
            self.sees_workers,
        )
