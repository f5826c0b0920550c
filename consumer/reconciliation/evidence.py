"""Decide by times whether the audit log has the newest change of a record.

A query's row shows only a record's newest change, to the second. The log surely has that change if
an entry was committed after that second: Salesforce never lets two transactions write a record at
once, so a later commit has seen the change. An entry of the same second with the record's own
LastModifiedDate is most likely that change.

This is not enough where changes are known to be lost: a later change that arrived hides an earlier
one that did not. Then the log must also have the whole record from after the loss, or its values
must add up to the record (`logged_state`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from audit.models import AuditLogEntry
from consumer.reconciliation.salesforce_rows import SECOND, Row
from listeners.models import Listener
from listeners.salesforce.rest.records import milliseconds

#: Ids in one query.
CHUNK = 500

DELETES = frozenset({"DELETE", "GAP_DELETE"})
#: Change types whose events carry the whole record.
WHOLE = frozenset({"CREATE", "UNDELETE"})


class Certainty(IntEnum):
    """Whether the log has a record's newest change."""

    NO = 0
    SAME_SECOND = 1
    SURE = 2


@dataclass(frozen=True, slots=True)
class Seen:
    """The times of an audit log entry, in ms since 1970."""

    change_type: str
    commit: int
    as_of: int | None
    read_at: int | None
    modified: int | None

    def shows(self, row: Row) -> Certainty:
        """Return whether this entry is the record's newest change, or newer."""
        if row.is_deleted:
            is_it = self.change_type in DELETES and self.commit >= row.stamp
            return Certainty.SURE if is_it else Certainty.NO
        over = row.stamp + SECOND
        if self.as_of is not None:
            return self._was_read_after(row)
        if self.commit >= over:
            return Certainty.SURE
        if self.change_type in DELETES:
            return Certainty.NO  # the record exists, so it was restored after this entry
        if self.modified is not None:
            # A stamp after the LastModifiedDate is Salesforce's housekeeping, without an event.
            return Certainty.SAME_SECOND if self.modified == row.modified else Certainty.NO
        return Certainty.SAME_SECOND if self.commit >= row.stamp else Certainty.NO

    def _was_read_after(self, row: Row) -> Certainty:
        as_of, read_at = self.as_of or 0, self.read_at or 0
        if as_of > row.modified:
            return Certainty.SURE
        if as_of < row.modified:
            return Certainty.NO
        return Certainty.SURE if read_at >= row.modified + SECOND else Certainty.SAME_SECOND

    def is_whole_since(self, moment: int) -> bool:
        """Return whether this entry has the whole record from after that time, in ms."""
        if self.as_of is not None:
            return (self.read_at or 0) > moment
        return self.change_type in WHOLE and self.commit > moment


@dataclass(frozen=True, slots=True)
class Rule:
    """When a record counts as complete.

    The log must have the whole state from after `lost_until` of a record that last changed at
    `strict_from` or later (`lost_until` None: no entry is certainly from after the loss). Of other
    records it must have the newest change; with `trusts_second` an entry of the same second counts
    as that change. Times in ms.
    """

    strict_from: int | None
    lost_until: int | None
    trusts_second: bool

    def is_met(self, row: Row, seen: Iterable[Seen]) -> bool:
        seen = list(seen)
        certainty = max((entry.shows(row) for entry in seen), default=Certainty.NO)
        if certainty is Certainty.NO or row.is_deleted:
            return certainty is not Certainty.NO
        if self.strict_from is None or row.stamp < self.strict_from:
            return certainty is Certainty.SURE or self.trusts_second
        return self.lost_until is not None and any(
            entry.is_whole_since(self.lost_until) for entry in seen
        )


def incomplete(listener: Listener, entity: str, page: Sequence[Row], rule: Rule) -> list[Row]:
    """Return the rows, of up to CHUNK, that do not meet the rule by the times in the log."""
    seen = _seen(listener, entity, page)
    return [row for row in page if not rule.is_met(row, seen.get(row.record_id, ()))]


def _seen(listener: Listener, entity: str, page: Sequence[Row]) -> dict[str, list[Seen]]:
    """Return the log's entries of each record, since the oldest change of the page."""
    entries = AuditLogEntry.objects.filter(
        listener=listener,
        entity_name=entity,
        record_id__in=[row.record_id for row in page],
        commit_timestamp__gte=min(min(row.modified, row.stamp) for row in page) - SECOND,
    ).values_list(
        "record_id",
        "change_type",
        "commit_timestamp",
        "as_of",
        "read_at",
        "changed_data__LastModifiedDate",
    )
    seen: dict[str, list[Seen]] = {}
    for record_id, change_type, commit, as_of, read_at, modified in entries.iterator():
        entry = Seen(change_type, commit, as_of, read_at, milliseconds(modified))
        seen.setdefault(record_id, []).append(entry)
    return seen
