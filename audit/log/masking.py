"""What a reader sees of recorded changes: values of a listener's sensitive fields are masked unless
a permission says otherwise. Handlers get the real ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from listeners.access.permissions import SEE_SENSITIVE, User, may
from listeners.field_masking import Fields, fields_of, is_touched, masked, redacted

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
        """In what leaves: answers of the API, and exports."""
        return cls(may(user, SEE_SENSITIVE))

    def data(self, entry: AuditLogEntry) -> dict[str, Any]:
        """The change's data. The entry's listener should be loaded."""
        data: dict[str, Any] = entry.changed_data
        fields = self._hidden(entry)
        return masked(data, fields, self.mask) if fields else data

    def text(self, text: str, entry: AuditLogEntry) -> str:
        """An error or a traceback of the change's handling."""
        fields = self._hidden(entry) if text else ()
        return redacted(text, entry.changed_data, fields, self.mask) if fields else text

    def hides(self, path: str, entry: AuditLogEntry) -> bool:
        """Whether the field at a dotted path, or a part of it, is masked in that change."""
        fields = self._hidden(entry)
        return bool(fields) and is_touched(tuple(path.split(".")), fields)

    def hides_raw(self, listener: Listener) -> bool:
        """Whether to withhold an unreadable message: nobody knows where in it a field is."""
        return not self.sees_all and bool(listener.sensitive_fields)

    def _hidden(self, entry: AuditLogEntry) -> Fields:
        patterns = () if self.sees_all else entry.listener.sensitive_fields
        return fields_of(tuple(patterns), entry.entity_name) if patterns else ()


#: What nobody has asked for is masked.
MASKED = Sight()
