"""What the audit log lacks of some records: read over REST, then recorded beside the stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db.models import Max

from audit.models import AuditLogEntry, Reconciliation
from consumer import additions
from consumer.reconciliation import contents
from consumer.reconciliation.evidence import DELETES, Rule, incomplete
from consumer.reconciliation.rows import ON_ITS_WAY, SECOND, Row
from consumer.reconciliation.rules import lost_after
from handlers import dispatch
from listeners import milestones
from listeners.clock import database_clock
from listeners.salesforce.errors import TransportFailed
from listeners.salesforce.reading import RecordsRead
from listeners.salesforce.records import event_body, last_modified_ms, milliseconds
from listeners.salesforce.rest import RestClient

Reason = Reconciliation.Reason

#: Records that changed while they were read are read again, so often at most.
ROUNDS = 5


@dataclass(slots=True)
class Supplement:
    """What one part of a comparison found: entries that were missing, and records whose reading
    Salesforce refused, with its words."""

    missing: int = 0
    refused: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Supplier:
    """Records what is missing of one entity, as one comparison wants it.

    `records`: False only counts. A wildcard says that values changed in a way that no value may
    show: then no record counts as complete for its contents.
    """

    job: Reconciliation
    entity: str
    rule: Rule
    rest: RestClient
    records: bool = True

    def supply(self, suspects: Sequence[Row]) -> Supplement:
        """Never inside a transaction. Raises what RestClient raises."""
        supplement = Supplement()
        for _ in range(ROUNDS):
            if not suspects:
                return supplement
            suspects = self._round(suspects, supplement)
        raise TransportFailed(f"records of {self.entity} change faster than they are read")

    def _round(self, suspects: Sequence[Row], supplement: Supplement) -> list[Row]:
        """The rows to look at once more: what the stream brought of them is newer than our read."""
        before = self._newest_entry()
        read = self.rest.read_many(
            self.entity, [row.record_id for row in suspects if not row.is_deleted]
        )
        milestones.reach("read")
        supplement.refused |= {one: str(refusal) for one, refusal in read.refused.items()}
        again: list[Row] = []
        chosen: list[AuditLogEntry] = []

        def choose() -> list[AuditLogEntry]:
            left = incomplete(self.job.listener, self.entity, suspects, self.rule)
            moved = self._recorded_since(before, left)
            again.extend(row for row in left if row.record_id in moved and not row.is_deleted)
            chosen.extend(self._entries([r for r in left if r.record_id not in moved], read))
            return chosen

        if self.records:
            ready = additions.add(self.job.listener, choose)
            dispatch.publish_or_leave(ready, database_clock.now())
            supplement.missing += sum(entry.pk is not None for entry in chosen)
        else:
            supplement.missing += len(choose())
        return again

    def _newest_entry(self) -> int:
        newest = AuditLogEntry.objects.filter(listener=self.job.listener).aggregate(Max("id"))
        return newest["id__max"] or 0

    def _recorded_since(self, entry_id: int, rows: Sequence[Row]) -> set[str]:
        ids = [row.record_id for row in rows]
        entries = AuditLogEntry.objects.filter(
            listener=self.job.listener, entity_name=self.entity, id__gt=entry_id, record_id__in=ids
        )
        return set(entries.values_list("record_id", flat=True))

    def _entries(self, rows: Sequence[Row], read: RecordsRead) -> list[AuditLogEntry]:
        """Of what was deleted since it was found, the stream brings the deletion."""
        living = [row for row in rows if row.record_id in read.records]
        told = self._told([row.record_id for row in living])
        latest = self._latest_types([row.record_id for row in living])
        entries = [self._deletion(row) for row in rows if row.is_deleted]
        for row in living:
            record = read.records[row.record_id]
            known = told.get(row.record_id)
            if known is None or not self._accounts_for(known, row, record):
                change_type = self._change_type(row, latest.get(row.record_id))
                entries.append(self._reading(row, change_type, record, read.read_at))
        return sorted(entries, key=lambda entry: entry.commit_timestamp)

    def _accounts_for(self, known: contents.Known, row: Row, record: dict[str, object]) -> bool:
        """Formula fields and the like are read, and no event carries them: of a record that surely
        was not changed after the loss, nothing but what is known has to be the same."""
        body = event_body(record, "CREATE")
        if known.is_whole(body):
            return True
        before = lost_after(self.job)
        is_older = before is not None and row.stamp + SECOND + ON_ITS_WAY <= before
        return is_older and known.received_at < self.job.window_end and known.is_part_of(body)

    def _told(self, ids: Sequence[str]) -> dict[str, contents.Known]:
        if self.job.reason == Reason.WILDCARD:
            return {}
        return contents.states(self.job.listener, self.entity, ids)

    def _latest_types(self, ids: Sequence[str]) -> dict[str, str]:
        entries = AuditLogEntry.objects.filter(
            listener=self.job.listener, entity_name=self.entity, record_id__in=ids
        )
        return dict(entries.order_by("id").values_list("record_id", "change_type"))

    def _change_type(self, row: Row, latest: str | None) -> str:
        if latest in DELETES:
            return "UNDELETE"
        start = self.job.window_start
        is_new = start is not None and row.created >= start.timestamp() // 1 * 1000
        return "CREATE" if latest is None and is_new else "UPDATE"

    def _deletion(self, row: Row) -> AuditLogEntry:
        return self._entry(row.record_id, "DELETE", row.stamp)

    def _reading(
        self, row: Row, change_type: str, record: dict[str, object], read_at: int
    ) -> AuditLogEntry:
        stamp = milliseconds(record.get("SystemModstamp")) or row.stamp
        entry = self._entry(row.record_id, change_type, stamp)
        entry.commit_user = str(record.get("LastModifiedById") or "")
        entry.changed_data = event_body(record, change_type)
        entry.as_of, entry.read_at = last_modified_ms(record) or stamp, read_at
        return entry

    def _entry(self, record_id: str, change_type: str, stamp: int) -> AuditLogEntry:
        """The same change found again has the same identity: it is added once."""
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
