"""Backfill: read the records of missing changes over REST, and record them in the audit log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import time_ns

from django.db import transaction
from django.db.models import Max

from audit.log.record import record
from audit.models import AuditLogEntry, Reconciliation
from consumer.reconciliation.evidence import DELETES
from consumer.reconciliation.judge import Judge, Judgement
from consumer.reconciliation.salesforce_rows import Row, rows_of
from handlers import tracing
from handlers.models import HandlerMapping
from handlers.outbox import publish
from handlers.outbox.create import deliver
from listeners import crash_points
from listeners.clock import database_clock
from listeners.models import Listener, Position
from listeners.salesforce.errors import TransportFailed
from listeners.salesforce.rest.client import RestClient
from listeners.salesforce.rest.records import (
    RecordsRead,
    event_body,
    last_modified_ms,
    milliseconds,
)

#: How often records that changed while they were read are read again.
ROUNDS = 5


@dataclass(slots=True)
class PartResult:
    """The result of one part of a comparison: the final verdicts, the number of missing entries,
    and the records that Salesforce refused to return, with its messages."""

    judgement: Judgement = field(default_factory=Judgement)
    missing: int = 0
    refused: dict[str, str] = field(default_factory=dict)

    def add(self, later: PartResult) -> None:
        self.judgement.update(later.judgement)
        self.missing += later.missing
        self.refused |= later.refused


@dataclass(frozen=True, slots=True)
class Backfill:
    """Records the missing changes of one entity for one comparison.

    `records`: whether missing changes are recorded; otherwise they are only counted.
    `accepts_deletions`: an operator has confirmed the permanent deletions, however many.
    """

    job: Reconciliation
    entity: str
    judge: Judge
    rest: RestClient
    records: bool = True
    accepts_deletions: bool = False

    @property
    def is_cautious(self) -> bool:
        return self.records and not self.accepts_deletions

    def judged(self, rows: Sequence[Row]) -> PartResult:
        """Read the existing records and judge them. Raises what RestClient raises."""
        read = self._read(rows)
        return PartResult(self.judge.judge(rows, read), refused=self._refusals(rows, read))

    def fill(self, suspects: Sequence[Row], renew: Callable[[], None]) -> PartResult:
        """Read the suspected records and record what is missing, until none changes in between.
        `renew` is called after each read.

        Never inside a transaction. Raises what RestClient raises.
        """
        result = PartResult()
        for _ in range(ROUNDS):
            if not suspects:
                return result
            suspects = self._round(suspects, result)
            renew()
        raise TransportFailed(f"records of {self.entity} change faster than they can be read")

    def _round(self, suspects: Sequence[Row], result: PartResult) -> list[Row]:
        """Read and record once; return the rows for which the stream brought a change newer than
        this read."""
        entries = AuditLogEntry.objects.filter(listener=self.job.listener)
        before = entries.aggregate(newest=Max("id"))["newest"] or 0
        read = self._read(suspects)
        crash_points.reach("read")
        result.refused |= self._refusals(suspects, read)
        again: list[Row] = []

        def choose() -> list[AuditLogEntry]:
            judgement = self.judge.judge(suspects, read)
            result.judgement.update(judgement)
            left = judgement.missing(suspects)
            moved = self._recorded_since(before, left)
            again.extend(row for row in left if row.record_id in moved and not row.is_deleted)
            return self._entries([row for row in left if row.record_id not in moved], read)

        result.missing += self.record(choose)
        return again

    def record(self, choose: Callable[[], list[AuditLogEntry]]) -> int:
        """Record and deliver the entries that `choose` returns, or only count them; return how
        many."""
        return record_chosen(self.job.listener, choose) if self.records else len(choose())

    def entry(self, record_id: str, change_type: str, stamp: int) -> AuditLogEntry:
        """Return the entry of a missing change. The same change found again has the same identity,
        so that it is added only once."""
        event = self.job.entry
        return AuditLogEntry(
            listener=self.job.listener,
            channel=self.job.listener.channel,
            entity_name=self.entity,
            record_id=record_id,
            change_type=change_type,
            transaction_key=event.transaction_key if event else f"reconcile:{stamp}",
            sequence_number=event.sequence_number if event else 1,
            commit_timestamp=stamp,
            source=AuditLogEntry.Source.RECONCILE,
            received_at=database_clock.now(),
        )

    def _read(self, rows: Sequence[Row]) -> RecordsRead:
        existing = [row.record_id for row in rows if not row.is_deleted]
        return self.rest.read_many(self.entity, existing) if existing else RecordsRead(0)

    def _refusals(self, rows: Sequence[Row], read: RecordsRead) -> dict[str, str]:
        """Return why existing records could not be read. A record that was not returned may have
        been deleted meanwhile; if it still exists, it was not compared."""
        refused = {record_id: str(refusal) for record_id, refusal in read.refused.items()}
        known = read.records.keys() | refused.keys()
        absent = [
            row.record_id for row in rows if not row.is_deleted and row.record_id not in known
        ]
        for page in rows_of(self.rest, self.entity, absent):
            for row in page:
                if not row.is_deleted:
                    refused[row.record_id] = "Salesforce lists the record, and does not return it"
        return refused

    def _recorded_since(self, entry_id: int, rows: Sequence[Row]) -> set[str]:
        ids = [row.record_id for row in rows]
        entries = AuditLogEntry.objects.filter(
            listener=self.job.listener, entity_name=self.entity, id__gt=entry_id, record_id__in=ids
        )
        return set(entries.values_list("record_id", flat=True))

    def _entries(self, rows: Sequence[Row], read: RecordsRead) -> list[AuditLogEntry]:
        """Return the entries of the missing rows, in commit order."""
        existing = [row for row in rows if row.record_id in read.records]
        ids = [row.record_id for row in existing]
        latest, found_before = self.latest_types(ids), self._found_before(ids)
        entries = [self.entry(row.record_id, "DELETE", row.stamp) for row in rows if row.is_deleted]
        for row in existing:
            change_type = self._change_type(row, latest.get(row.record_id))
            entry = self._reading(row, change_type, read.records[row.record_id], read.read_at)
            if self.job.entry is None:
                entry.sequence_number += found_before[row.record_id, entry.transaction_key]
            entries.append(entry)
        return sorted(entries, key=lambda entry: entry.commit_timestamp)

    def latest_types(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the newest change type that the log has of each record."""
        entries = AuditLogEntry.objects.filter(
            listener=self.job.listener, entity_name=self.entity, record_id__in=ids
        )
        return dict(entries.order_by("id").values_list("record_id", "change_type"))

    def _found_before(self, ids: Sequence[str]) -> Counter[tuple[str, str]]:
        """Return how often each record was recorded under each key: a value may change again
        without a new time, such as when an address gets its coordinates."""
        entries = AuditLogEntry.objects.filter(
            listener=self.job.listener,
            entity_name=self.entity,
            record_id__in=ids,
            source=AuditLogEntry.Source.RECONCILE,
        )
        return Counter(entries.values_list("record_id", "transaction_key"))

    def _change_type(self, row: Row, latest: str | None) -> str:
        if latest in DELETES:
            return "UNDELETE"
        start = self.job.window_start
        is_new = start is not None and row.created >= start.timestamp() // 1 * 1000
        return "CREATE" if latest is None and is_new else "UPDATE"

    def _reading(
        self, row: Row, change_type: str, record: dict[str, object], read_at: int
    ) -> AuditLogEntry:
        stamp = milliseconds(record.get("SystemModstamp")) or row.stamp
        entry = self.entry(row.record_id, change_type, stamp)
        entry.commit_user = str(record.get("LastModifiedById") or "")
        entry.changed_data = event_body(record, change_type)
        entry.as_of, entry.read_at = last_modified_ms(record) or stamp, read_at
        return entry


def record_chosen(listener: Listener, choose: Callable[[], Sequence[AuditLogEntry]]) -> int:
    """Record the entries that `choose` returns, with their deliveries, while the stream goes on;
    return how many the log lacked.

    `choose` runs in the same transaction, under the lock on the listener's position: the stream
    records nothing until the commit, so `choose` reads the current state, and should be fast. Never
    inside a transaction.
    """
    began = time_ns()
    with transaction.atomic(durable=True):
        Position.objects.lock_listener(listener.pk)
        new = record(choose())
        ready = deliver(new, list(HandlerMapping.objects.filter(listener=listener)))
        crash_points.reach("added")
    if tracing.spans is not None:
        tracing.spans.recorded(listener.name, new, began)
    publish.publish_or_leave(ready, database_clock.now())
    return len(new)
