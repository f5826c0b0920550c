"""Sweeps: read the records that were modified or deleted since a time, and write them.

The records come in the order of their modification, from the beginning of the window up to now, so
that a sweep also reads what changes while it runs. It ends with a page that is not full: then
everything that was committed before that page's read is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from listeners import crash_points
from listeners.clock import database_clock
from listeners.salesforce.errors import AnswerTooLarge, RestRefused
from listeners.salesforce.rest.answers import is_about_records
from listeners.salesforce.rest.client import MAX_IDS
from listeners.salesforce.rest.records import long_id
from mirror import budget
from mirror.apply.guard import milliseconds, read_time
from mirror.load.work import Work
from mirror.runs import Later
from mirror.sweeps import soql_time

#: Salesforce lists deletions of the last 15 days only.
_LISTED = timedelta(days=15) - timedelta(hours=1)


class Sweep:
    """A sweep, alone or at the end of a load. Its progress is the cursor's `sweep`."""

    def __init__(self, work: Work, since: datetime) -> None:
        self._work = work
        self.since = since.astimezone(UTC)
        self._progress: dict[str, Any] = work.cursor.get("sweep", {"rows": 0})

    @property
    def covered_until(self) -> datetime | None:
        """The time on Salesforce's clock until which everything is written, at the end."""
        read_at = self._progress.get("read_at")
        return None if read_at is None else read_time(read_at)

    @property
    def rows(self) -> int:
        return int(self._progress["rows"])

    @property
    def deleted(self) -> int:
        """The number of records that were read as deleted, or not found."""
        return int(self._progress.get("deleted", 0))

    @property
    def needs_ids(self) -> bool:
        """Whether deletions can be missing, so that the ids of all records must be compared."""
        return bool(self._progress.get("needs_ids"))

    def run(self) -> Later | None:
        """Continue the sweep; return None at its end."""
        work = self._work
        work.writer.complete_until = milliseconds(self.since)
        modstamp = work.fields.modstamp
        while modstamp is not None and not self._progress.get("is_read"):
            self._read_page(modstamp)
            crash_points.reach("page_swept")
            if (pause := self._pause()) is not None:
                return pause
        return None if self._progress.get("is_done") else self._delete()

    def _read_page(self, modstamp: str) -> None:
        work = self._work
        chunks, last = work.reader.page(self._where(modstamp), f"{modstamp}, Id")
        records = [record for chunk in chunks for record in chunk.records]
        for chunk in chunks:
            work.writer.write_records(chunk.records, chunk.read_at)
        read_at = min((chunk.read_at for chunk in chunks), default=None)
        position = {} if last is None else {"at": _literal(last[modstamp]), "id": str(last["Id"])}
        self._save(
            rows=self.rows + len(records),
            deleted=self.deleted + sum(map(_is_deleted, records)),
            is_read=last is None,
            **({"read_at": read_at} if read_at is not None else {}),
            **position,
        )

    def _where(self, modstamp: str) -> str:
        at = self._progress.get("at", f"{self.since:%Y-%m-%dT%H:%M:%SZ}")
        if "id" not in self._progress:
            return f"{modstamp} >= {at}"
        record_id = self._progress["id"]
        return f"(({modstamp} = {at} AND Id > '{record_id}') OR {modstamp} > {at})"

    def _delete(self) -> Later | None:
        """Mark the records as deleted that Salesforce lists as deleted, and that are not in the
        Recycle Bin any more."""
        work = self._work
        after = self._progress.get("listed", "")
        for ids in _pages(sorted(one for one in self._listed() if one > after)):
            gone: list[str] = []
            if known := work.writer.not_deleted(ids):
                read = work.rest.read_many(work.mirror.salesforce_object, known)
                gone = [one for one in known if one not in read.records and one not in read.refused]
                work.writer.write_deleted(gone, read.read_at)
            self._save(deleted=self.deleted + len(gone), listed=ids[-1])
            if (pause := self._pause()) is not None:
                return pause
        self._save(is_done=True)
        return None

    def _listed(self) -> set[str]:
        now = database_clock.now()
        since = max(self.since, now - _LISTED).replace(second=0, microsecond=0)
        until = now + timedelta(minutes=1)
        try:
            found = self._work.rest.deleted_ids(self._work.mirror.salesforce_object, since, until)
        except (RestRefused, AnswerTooLarge) as refusal:
            if isinstance(refusal, RestRefused) and not is_about_records(refusal):
                raise
            # Deletions of the object are not listed, are too many, or were purged from the list.
            self._save(needs_ids=True)
            return set()
        return {*map(long_id, found)}

    def _save(self, **progress: Any) -> None:
        self._progress = self._progress | progress
        self._work.save(sweep=self._progress)

    def _pause(self) -> Later | None:
        if (pause := budget.pause(self._work.rest)) is not None:
            return pause
        return Later() if self._work.claim.is_slice_over else None


def _is_deleted(record: Mapping[str, Any]) -> bool:
    return record.get("IsDeleted") is True


def _pages(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), MAX_IDS):
        yield ids[start : start + MAX_IDS]


def _literal(modstamp: object) -> str:
    """Return a time of REST as SOQL writes it."""
    return soql_time(datetime.fromisoformat(str(modstamp)))
