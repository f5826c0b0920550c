"""Change events, as the rest of the product uses them: one for each record of a change."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct


class ChangeKind(StrEnum):
    """The change types that Salesforce documents; any other type is UNKNOWN."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    UNDELETE = "UNDELETE"
    GAP_CREATE = "GAP_CREATE"
    GAP_UPDATE = "GAP_UPDATE"
    GAP_DELETE = "GAP_DELETE"
    GAP_UNDELETE = "GAP_UNDELETE"
    GAP_OVERFLOW = "GAP_OVERFLOW"
    SNAPSHOT = "SNAPSHOT"
    UNKNOWN = "UNKNOWN"


#: Replay ids that select no event, but the tip and the earliest event. An event with such an id is
#: refused: stored as the position, it would skip or repeat events.
PRESETS = ("-1", "-2")


class ChangeEvent(Struct, frozen=True):
    """The change of one record in a change event message.

    The identity of a change within an org is (transaction_key, sequence_number, entity_name,
    record_id, change_type). The events of one message differ only in ``record_id``.
    """

    channel: str
    replay_id: str  # opaque: no arithmetic, no order, not unique over time
    event_uuid: str | None
    entity_name: str
    record_id: str  # a key prefix and * for a change to every record, such as a new field type
    record_ids: tuple[str, ...]  # all records of the message, without duplicates, in its order
    change_type: str  # as sent; ``kind`` is the closed form
    change_origin: str | None
    transaction_key: str
    sequence_number: int
    commit_timestamp: int  # milliseconds since the epoch, within the years 1970 to 9999
    commit_number: int | None
    commit_user: str | None
    changed_fields: tuple[str, ...] | None  # here and below, None: not in the header
    nulled_fields: tuple[str, ...] | None
    diff_fields: tuple[str, ...] | None
    changed_data: dict[str, Any]  # the payload without its header; JSON types, including nulls
    header_extra: dict[str, Any] | None = None  # header fields without an attribute here

    @property
    def kind(self) -> ChangeKind:
        try:
            return ChangeKind(self.change_type)
        except ValueError:
            return ChangeKind.UNKNOWN

    @property
    def is_overflow(self) -> bool:
        """Whether the transaction had too many changes: the whole entity must be reconciled."""
        return self.change_type == ChangeKind.GAP_OVERFLOW

    @property
    def is_gap(self) -> bool:
        """Whether the change's data is missing: the record must be read."""
        return self.change_type.startswith("GAP_") and not self.is_overflow
