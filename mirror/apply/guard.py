"""The version guard: whether an event or a record that was read may change a row. Pure.

Rows are compared by `version`, the record's LastModifiedDate, which has whole seconds. Within a
second, `synced_at` decides: the time on Salesforce's clock up to which the row is known to be
complete. For a row that was read it is the time at which the read began. For a row that an event
wrote it is the event's commit time in milliseconds, with the sequence number in the microseconds,
so that the two can be told apart and the events of one transaction keep their order.

Whatever cannot be decided is read again: Verdict.READ.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

#: Times of Salesforce's servers may differ by this much.
MARGIN = timedelta(seconds=2)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST = 999  # microseconds for the sequence number


class Verdict(Enum):
    APPLY = "apply"
    SKIP = "skip"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Row:
    """What the guard needs to know of a stored row."""

    version: datetime | None
    synced_at: datetime | None
    is_deleted: bool = False
    is_complete: bool = True

    @property
    def is_from_event(self) -> bool:
        return self.synced_at is not None and self.synced_at.microsecond % 1000 != 0


def event_time(commit_timestamp: int, sequence_number: int) -> datetime:
    """Return `synced_at` for a row that an event writes; `commit_timestamp` in ms since 1970."""
    sequence = min(max(sequence_number, 1), _MOST)
    return _EPOCH + timedelta(milliseconds=commit_timestamp, microseconds=sequence)


def read_time(read_at: int) -> datetime:
    """Return `synced_at` for a row that was read; `read_at` in ms since 1970."""
    return _EPOCH + timedelta(milliseconds=read_at)


def judge_read(row: Row | None, version: datetime | None, read_at: datetime) -> Verdict:
    """Judge a record that a read begun at `read_at` returned."""
    if row is None or row.synced_at is None:
        return Verdict.APPLY
    if read_at > row.synced_at + MARGIN:  # the read includes everything that the row knows
        is_older = version is not None and row.version is not None and version < row.version
        return Verdict.SKIP if is_older else Verdict.APPLY
    if row.is_deleted:  # read before the deletion
        return Verdict.SKIP if read_at < row.synced_at - MARGIN else Verdict.READ
    if version is None or row.version is None:
        return Verdict.READ
    if version == row.version:
        return Verdict.READ
    return Verdict.APPLY if version > row.version else Verdict.SKIP


def judge_deletion_read(row: Row | None, read_at: datetime) -> Verdict:
    """Judge that a read begun at `read_at` did not find the record, or found it in the bin."""
    if row is None or row.synced_at is None or read_at > row.synced_at + MARGIN:
        return Verdict.APPLY
    if row.is_deleted:
        return Verdict.SKIP
    return Verdict.SKIP if read_at < row.synced_at - MARGIN else Verdict.READ


def judge_event(
    row: Row | None, version: datetime | None, at: datetime, *, is_first_attempt: bool
) -> Verdict:
    """Judge a create, update or undelete committed at `at` (`event_time`), of `version`.

    The first attempts of a record's events arrive in the order of their chain; a later attempt or
    a redelivery may come after newer events. The caller knows whether the event has the whole
    record: an update of a record without a complete row is read instead (`Verdict.READ`).
    """
    if version is None:
        return Verdict.READ
    if row is None or row.synced_at is None:
        return Verdict.APPLY
    if not row.is_deleted and row.version is not None and version != row.version:
        return Verdict.APPLY if version > row.version else Verdict.SKIP
    return _judge_by_time(row, row.synced_at, at, is_first_attempt=is_first_attempt)


def judge_deletion(row: Row | None, at: datetime, *, is_first_attempt: bool) -> Verdict:
    """Judge a delete committed at `at` (`event_time`). It has no version."""
    if row is None or row.synced_at is None:
        return Verdict.APPLY
    return _judge_by_time(row, row.synced_at, at, is_first_attempt=is_first_attempt)


def _judge_by_time(
    row: Row, synced_at: datetime, at: datetime, *, is_first_attempt: bool
) -> Verdict:
    if row.is_from_event:
        # In the order of the chain, or the same event again.
        return Verdict.APPLY if is_first_attempt or at >= synced_at else Verdict.SKIP
    if at > synced_at + MARGIN:
        return Verdict.APPLY
    return Verdict.SKIP if at < synced_at - MARGIN else Verdict.READ
