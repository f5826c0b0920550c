"""The mirrored rows of changes, for `event.record` and for deliveries that wait for the mirror.

The app `mirror` is above this package and binds its reader when the apps are ready.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from audit.models import AuditLogEntry

#: An object and a record.
Key = tuple[str, str]
#: A listener's id and an object.
Copied = tuple[int, str]


class NoRecord(RuntimeError):
    """The mapping does not run after the mirror. Set `after: mirror` to use `event.record`."""


class Reader(Protocol):
    """Reads the mirrors of a listener. An object without a mirror has no rows."""

    def rows(self, listener_id: int, entity: str, record_ids: Collection[str]) -> Mapping[str, Any]:
        """Return the rows of these records that exist, also deleted ones, by record id."""

    def unread(self, listener_id: int, entity: str, record_ids: Collection[str]) -> set[str]:
        """Return the records whose rows are not decided until they are read from Salesforce."""

    def unloaded(self) -> Mapping[Copied, bool]:
        """Return the mirrors whose first load has not succeeded, each with whether one is under way
        or requested: its rows may be missing, or be those of an earlier mirror."""


class _NoMirrors:
    def rows(self, *_: Any) -> Mapping[str, Any]:
        return {}

    def unread(self, *_: Any) -> set[str]:
        return set()

    def unloaded(self) -> Mapping[Copied, bool]:
        return {}


reader: Reader = _NoMirrors()


def bind(new: Reader) -> None:
    """Set the reader of the mirrors."""
    global reader  # noqa: PLW0603
    reader = new


class Rows:
    """The mirrored rows of one call's changes, read together when the first is needed."""

    def __init__(self, entries: Sequence[AuditLogEntry]) -> None:
        self._entries = entries
        self._rows: dict[Key, Any] | None = None

    def row_of(self, entry: AuditLogEntry) -> Callable[[], Any]:
        """Return the function that returns the row of an entry's record, or None."""
        return partial(self._row, (entry.entity_name, entry.record_id))

    def _row(self, key: Key) -> Any:
        if self._rows is None:
            self._rows = self._read()
        return self._rows.get(key)

    def _read(self) -> dict[Key, Any]:
        records: dict[tuple[int, str], set[str]] = {}
        for entry in self._entries:
            records.setdefault((entry.listener_id, entry.entity_name), set()).add(entry.record_id)
        return {
            (entity, record_id): row
            for (listener_id, entity), ids in records.items()
            for record_id, row in reader.rows(listener_id, entity, ids).items()
        }
