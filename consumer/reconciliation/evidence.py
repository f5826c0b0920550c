"""Whether the audit log has what became of a record. Pure, but for reading the log.

A row of the query tells of a record's newest change only, and to the second. It is in the log for
sure if an entry was committed after that second: Salesforce lets no two transactions write a record
at once, so a later commit has seen the change. An entry of the same second with the record's own
LastModifiedDate is most likely it.

Where changes are known to be lost that is not enough: a later change, which arrived, hides an
earlier one, which did not. There the log must also have the whole record from after the loss, or
its contents must add up to what the record is (`contents`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from audit.models import AuditLogEntry
from consumer.reconciliation.salesforce_rows import SECOND, Row
from listeners.models import Listener
from listeners.salesforce.rest.records import milliseconds

#: Ids in one query.
CHUNK = 500

DELETES = frozenset({"DELETE", "GAP_DELETE"})
#: Their events carry the whole record.
WHOLE = frozenset({"CREATE", "UNDELETE"})


class Sight(Enum):
    """Whether the log has a record's newest change."""

    NO = 0
    SAME_SECOND = 1
    SURE = 2


@dataclass(frozen=True, slots=True)
class Seen:
    """What an entry of the log says about a record's state; times in ms."""

    change_type: str
    commit: int
    as_of: int | None
    read_at: int | None
    modified: int | None

    def shows(self, row: Row) -> Sight:
        """Whether this entry is the record's newest change, or newer."""
        if row.is_deleted:
            is_it = self.change_type in DELETES and self.commit >= row.stamp
            return Sight.SURE if is_it else Sight.NO
        over = row.stamp + SECOND
        if self.as_of is not None:
            return self._was_read_after(row)
        if self.commit >= over:
            return Sight.SURE
        if self.change_type in DELETES:
            return Sight.NO  # it lives: it came back since
        if self.modified is not None:
            # A stamp past the LastModifiedDate is housekeeping of Salesforce's: no event tells it.
            return Sight.SAME_SECOND if self.modified == row.modified else Sight.NO
        return Sight.SAME_SECOND if self.commit >= row.stamp else Sight.NO

    def _was_read_after(self, row: Row) -> Sight:
        as_of, read_at = self.as_of or 0, self.read_at or 0
        if as_of > row.modified:
            return Sight.SURE
        if as_of < row.modified:
            return Sight.NO
        return Sight.SURE if read_at >= row.modified + SECOND else Sight.SAME_SECOND

    def is_whole_since(self, moment: int) -> bool:
        """Whether it tells the whole record as it was after that moment."""
        if self.as_of is not None:
            return (self.read_at or 0) > moment
        return self.change_type in WHOLE and self.commit > moment


@dataclass(frozen=True, slots=True)
class Rule:
    """When a record counts as complete.

    A record last changed at `strict_from` or later needs its whole state from after `lost_until`
    in the log (None: nothing in the log is certain to be from after the loss). One changed before
    needs its newest change there; `trusts_second` takes an entry of the same second for it.
    """

    strict_from: int | None
    lost_until: int | None
    trusts_second: bool

    def is_met(self, row: Row, seen: Iterable[Seen]) -> bool:
        seen = list(seen)
        sight = max((one.shows(row) for one in seen), key=lambda one: one.value, default=Sight.NO)
        if sight is Sight.NO or row.is_deleted:
            return sight is not Sight.NO
        if self.strict_from is None or row.stamp < self.strict_from:
            return sight is Sight.SURE or self.trusts_second
        return self.lost_until is not None and any(
            one.is_whole_since(self.lost_until) for one in seen
        )


def incomplete(listener: Listener, entity: str, page: Sequence[Row], rule: Rule) -> list[Row]:
    """The rows that the log does not account for by its times."""
    found: list[Row] = []
    for start in range(0, len(page), CHUNK):
        part = page[start : start + CHUNK]
        seen = _seen(listener, entity, part)
        found += [row for row in part if not rule.is_met(row, seen.get(row.record_id, ()))]
    return found


def _seen(listener: Listener, entity: str, page: Sequence[Row]) -> dict[str, list[Seen]]:
    """The entries of these records from their oldest change in question on."""
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
        one = Seen(change_type, commit, as_of, read_at, milliseconds(modified))
        seen.setdefault(record_id, []).append(one)
    return seen
