"""The version guard: whether an event or a record that was read may change a row. Pure.

Rows are compared by `version`, the record's LastModifiedDate, which has whole seconds. Within a
second, `synced_at` decides: the time on Salesforce's clock up to which the row is known to be
complete. For a row that was read it is the time at which the read began; the read may have seen
later changes too. For a row that an event wrote it is the event's commit time in milliseconds, with
the sequence number in the microseconds, so that the two can be told apart and the events of one
transaction keep their order. A row without `synced_at` is only a place for a record that is going
to be read.

A change is skipped only if the row certainly includes it, and applied only if it is certainly the
next one. Whatever cannot be decided is read again: Verdict.READ.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

#: Times of Salesforce's servers may differ by this much.
MARGIN = timedelta(seconds=2)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST = 999  # microseconds for the sequence number


class Verdict(Enum):
    APPLY = "apply"
    SKIP = "skip"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Row:
    """The columns of a stored row that the guard compares."""

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
    return EPOCH + timedelta(milliseconds=commit_timestamp, microseconds=sequence)


def read_time(read_at: int) -> datetime:
    """Return `synced_at` for a row that was read; `read_at` in ms since 1970."""
    return EPOCH + timedelta(milliseconds=read_at)


def milliseconds(moment: datetime) -> int:
    """Return a time in ms since 1970, rounded up, so that it is never before the time."""
    return -((EPOCH - moment) // timedelta(milliseconds=1))


def judge_read(  # noqa: PLR0911
    row: Row | None, version: datetime | None, read_at: datetime, *, is_confirmed: bool = False
) -> Verdict:
    """Judge a record that a read begun at `read_at` returned. `is_confirmed`: repeated reads
    returned it, and no load is in progress, so a row with a newer version is wrong."""
    if row is None or row.synced_at is None:
        return Verdict.APPLY
    is_known = version is not None and row.version is not None
    if read_at > row.synced_at + MARGIN:  # the read includes everything that the row knows
        # A row that was read may be from a read that began earlier and ended later, such as a bulk
        # load, and has what this read does not, unless this one began after the row's version.
        # Versions need not ascend: the clocks of two servers differ.
        is_older = is_known and not is_confirmed and version < row.version  # type: ignore[operator]
        may_lack = is_older and read_at <= row.version + MARGIN  # type: ignore[operator]
        return Verdict.SKIP if may_lack and not row.is_from_event else Verdict.APPLY
    if row.synced_at == read_at and version == row.version:  # the same read again
        return Verdict.SKIP
    if row.is_deleted:
        return Verdict.SKIP if read_at < row.synced_at - MARGIN else Verdict.READ
    if not is_known or version == row.version:
        return Verdict.READ
    if version < row.version:  # type: ignore[operator]
        return Verdict.SKIP
    # `synced_at` must not go back: what the row knows later would be forgotten.
    return Verdict.APPLY if read_at >= row.synced_at else Verdict.READ


def judge_deletion_read(row: Row | None, read_at: datetime) -> Verdict:
    """Judge that a read begun at `read_at` did not find the record, or found it in the bin."""
    if row is None or row.synced_at is None or read_at > row.synced_at + MARGIN:
        return Verdict.APPLY
    if row.is_deleted:
        return Verdict.SKIP
    return Verdict.SKIP if read_at < row.synced_at - MARGIN else Verdict.READ


def judge_event(  # noqa: PLR0911
    row: Row | None,
    version: datetime | None,
    at: datetime,
    *,
    is_whole: bool,
    is_first_attempt: bool,
) -> Verdict:
    """Judge a create, update or undelete committed at `at` (`event_time`), of `version`.

    `is_whole`: the event has all fields, so it needs no row. The first attempts of a record's
    events arrive in the order of their chain, but a later attempt or a redelivery may come after
    newer events; and after a move of the listener's position the chain itself has older events
    behind newer ones.
    """
    if version is None:
        return Verdict.READ
    if row is None or row.synced_at is None:
        return Verdict.APPLY if is_whole and is_first_attempt else Verdict.READ
    if row.is_deleted:
        if at < row.synced_at - MARGIN:
            return Verdict.SKIP
        return Verdict.APPLY if is_whole and _is_after(row, row.synced_at, at) else Verdict.READ
    if row.version is None or not (is_whole or row.is_complete):
        return Verdict.READ
    if row.is_from_event:
        is_next = at > row.synced_at or (at == row.synced_at and is_first_attempt)
        return Verdict.APPLY if is_next and version >= row.version else Verdict.READ
    if version > row.version:
        return Verdict.APPLY if at >= row.synced_at - MARGIN else Verdict.READ
    is_included = at < row.synced_at - MARGIN or version < row.version - MARGIN
    return Verdict.SKIP if is_included else Verdict.READ


def judge_deletion(  # noqa: PLR0911
    row: Row | None, at: datetime, *, is_first_attempt: bool
) -> Verdict:
    """Judge a delete committed at `at` (`event_time`). It has no version."""
    if row is None or row.synced_at is None:
        return Verdict.APPLY if is_first_attempt else Verdict.READ
    if row.is_deleted:
        return Verdict.APPLY if at > row.synced_at else Verdict.SKIP
    if not row.is_from_event and at < row.synced_at - MARGIN:  # read since: it was restored
        return Verdict.SKIP
    if row.version is not None and row.version > at:
        return Verdict.READ
    if row.is_from_event and at == row.synced_at:
        return Verdict.APPLY if is_first_attempt else Verdict.READ
    if not row.is_from_event and row.version == at.replace(microsecond=0):
        return Verdict.READ  # restored and read in this second, or deleted after the read
    return Verdict.APPLY if _is_after(row, row.synced_at, at) else Verdict.READ


def _is_after(row: Row, synced_at: datetime, at: datetime) -> bool:
    """Return whether an event certainly came after everything that the row knows."""
    return at > (synced_at if row.is_from_event else synced_at + MARGIN)
