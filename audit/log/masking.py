"""Mask the values of a listener's sensitive fields for users without the permission to see them.

Handlers get the real values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from listeners.access.permissions import SEE_SENSITIVE, User, may
from listeners.field_masking import Fields, fields_of, is_touched, masked, redacted
from listeners.salesforce.rest.records import event_paths

if TYPE_CHECKING:
    from audit.models import AuditLogEntry
    from listeners.models import Listener

IN_CONSOLE, ELSEWHERE = "•••", "***"


@dataclass(frozen=True, slots=True)
class Sight:
    sees_all: bool = False
    mask: str = ELSEWHERE

    @classmethod
    def in_console(cls, user: User) -> Sight:
        return cls(may(user, SEE_SENSITIVE), IN_CONSOLE)

    @classmethod
    def elsewhere(cls, user: User) -> Sight:
        """Return the sight for API responses and exports."""
        return cls(may(user, SEE_SENSITIVE))

    def data(self, entry: AuditLogEntry) -> dict[str, Any]:
        """Return the data of a change, masked. The entry's listener should be loaded."""
        data: dict[str, Any] = entry.changed_data
        fields = self._hidden(entry)
        return masked(data, fields, self.mask) if fields else data

    def text(self, text: str, entry: AuditLogEntry) -> str:
        """Return an error or traceback of a handler, with the values of masked fields redacted."""
        fields = self._hidden(entry) if text else ()
        return redacted(text, entry.changed_data, fields, self.mask) if fields else text

    def hides(self, path: str, entry: AuditLogEntry) -> bool:
        """Return whether the field at a dotted path, or a part of it, is masked."""
        fields = self._hidden(entry)
        return bool(fields) and is_touched(tuple(path.split(".")), fields)

    def value(self, value: Any, listener: Listener, entity: str, field: str) -> Any:
        """Return the value of a record's field, or without a field its values by name, masked."""
        patterns = () if self.sees_all else listener.sensitive_fields
        fields = fields_of(tuple(patterns), entity) if patterns else ()
        if not fields or value is None:
            return value
        if field:
            return self.mask if _is_sensitive(field, fields) else value
        if not isinstance(value, dict):
            return value
        shown = masked(value, fields, self.mask)
        return shown | {name: self.mask for name in value if _is_sensitive(name, fields)}

    def hides_raw(self, listener: Listener) -> bool:
        """Return whether to withhold an undecodable message, in which fields cannot be located."""
        return not self.sees_all and bool(listener.sensitive_fields)

    def _hidden(self, entry: AuditLogEntry) -> Fields:
        patterns = () if self.sees_all else entry.listener.sensitive_fields
        return fields_of(tuple(patterns), entry.entity_name) if patterns else ()


def _is_sensitive(name: str, fields: Fields) -> bool:
    """Return whether a field of a record is sensitive; the patterns are written for events."""
    return any(is_touched(path, fields) for path in event_paths(name))


#: The sight without a user: sensitive fields are masked.
MASKED = Sight()
