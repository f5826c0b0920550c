"""Change events as the rest of the product sees them: one for each record of a change."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class ChangeKind(StrEnum):
    """The change types Salesforce documents; any other text is UNKNOWN."""

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


#: Replay ids that name no event: from the tip, from the earliest. An event that had one as its own
#: would, once stored, skip or repeat.
PRESETS = ("-1", "-2")


@dataclass(frozen=True, slots=True)
class ChangeEvent:
    """One record's share of one change event message.

    The identity of a change within an org is (transaction_key, sequence_number, entity_name,
    record_id, change_type). Two events of one message differ in ``record_id`` only.
    """

    channel: str
    replay_id: str  # opaque: no arithmetic, no ordering, not unique over time
    event_uuid: str | None
    entity_name: str
    record_id: str
    record_ids: tuple[str, ...]  # every record of the message, each once, in its order
    change_type: str  # as sent; ``kind`` is the closed form
    change_origin: str | None
    transaction_key: str
    sequence_number: int
    commit_timestamp: int  # milliseconds since the epoch, within the years 1970 to 9999
    commit_number: int | None
    commit_user: str | None
    changed_fields: tuple[str, ...] | None  # None, here and below: the header did not have it
    nulled_fields: tuple[str, ...] | None
    diff_fields: tuple[str, ...] | None
    changed_data: dict[str, Any]  # the payload without its header; JSON types, nulls kept
    header_extra: dict[str, Any] | None = None  # header fields that no attribute here is for

    @property
    def kind(self) -> ChangeKind:
        try:
            return ChangeKind(self.change_type)
        except ValueError:
            return ChangeKind.UNKNOWN

    @property
    def is_overflow(self) -> bool:
        """Too many changes in one transaction: the whole entity must be synchronised again."""
        return self.change_type == ChangeKind.GAP_OVERFLOW

    @property
    def is_gap(self) -> bool:
        """The change happened and its data is missing: the record must be read again."""
        return self.change_type.startswith("GAP_") and not self.is_overflow

    @property
    def is_wildcard(self) -> bool:
        """A change to every record of the entity, such as a field's new type."""
        return self.record_id.endswith("*")
