"""Checks the product's rows against the events that the org published, invariant by invariant."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.chaos.stage import HANDLED, HEARD
from tests.chaos.transports import COMETD, replay_id, transport_of

Connection = psycopg.Connection[tuple[Any, ...]]
#: Transaction key, sequence number, entity, record, change type.
Identity = tuple[str, int, str, str, str]
#: The id of an entry that a comparison recorded, and its record.
Reading = tuple[int, str]

_ENTRIES = """
SELECT e.id, e.transaction_key, e.sequence_number, e.entity_name, e.record_id, e.change_type,
       e.replay_id, d.handler, d.state, d.attempts,
       CASE WHEN d.state = 'succeeded' AND d.attempts = 1 AND d.started_at IS NOT NULL
                 AND d.finished_at IS NOT NULL AND d.worker <> '' THEN 1
            ELSE (SELECT count(DISTINCT a.number) FROM handlers_deliveryattempt a
                  WHERE a.delivery_id = d.id) END,
       d.error
FROM audit_auditlogentry e
JOIN listeners_listener l ON l.id = e.listener_id
LEFT JOIN handlers_delivery d ON d.entry_id = e.id
WHERE l.name = %s AND e.source = 'stream'
"""
#: After a refused position the log is compared with Salesforce: a record whose changes the stream
#: brings late may be read and recorded before them, in addition to them.
_ADDED = "SELECT count(*) FROM audit_auditlogentry WHERE source <> 'stream'"
#: The entries of comparisons that were handled. The handlers of a listener share a lane.
_READ = """
SELECT e.id, e.record_id
FROM audit_auditlogentry e
JOIN handlers_delivery d ON d.entry_id = e.id
WHERE e.source <> 'stream' AND d.state = 'succeeded'
"""
#: Why a late change is skipped after that.
_IS_IN = re.compile(
    r"(?:not newer than the record as read from Salesforce|the record was found deleted before)"
    r" \(entry (\d+)\)"
)
_EFFECTS = "SELECT id, entry_id, attempt FROM chaos_effect WHERE handler = ANY(%s) ORDER BY id"


@dataclass(frozen=True, slots=True)
class Change:
    """The change of one record in an event, and its place in the org's order."""

    identity: Identity
    replay_id: str
    place: int

    @property
    def record_id(self) -> str:
        return self.identity[3]

    def __str__(self) -> str:
        key, number, entity, record, kind = self.identity
        return f"{kind} {entity} {record} (transaction {key}, {number}; replay id {self.replay_id})"


@dataclass(frozen=True, slots=True)
class Entry:
    """An audit entry with its delivery, if it has one."""

    id: int
    identity: Identity
    replay_id: str
    handler: str | None
    state: str | None
    attempts: int | None
    logged_attempts: int
    error: str | None

    def is_in_one_of(self, readings: Collection[Reading]) -> bool:
        """Return whether the delivery was skipped for a later reading of the record."""
        found = _IS_IN.fullmatch(self.error or "")
        is_skipped = self.state == "skipped" and not self.attempts
        return bool(is_skipped and found and (int(found[1]), self.identity[3]) in readings)


@dataclass(slots=True)
class Verdict:
    """Counts of what was checked, and the violations found."""

    counts: Counter[str] = field(default_factory=Counter)
    violations: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def total(self) -> int:
        return sum(map(len, self.violations.values()))

    def report(self, kind: str, what: object) -> None:
        self.violations[kind].append(str(what))


def published(
    events: Iterable[Mapping[str, Any]], heard: frozenset[str], transport: str = COMETD
) -> list[Change]:
    """Return every change that a listener of these entities should receive, in the org's order."""
    changes: list[Change] = []
    for event in events:
        header = event["header"]
        if heard and header["entityName"] not in heard:
            continue
        for record_id in header["recordIds"]:
            identity = (
                header["transactionKey"],
                header["sequenceNumber"],
                header["entityName"],
                record_id,
                header["changeType"],
            )
            named = replay_id(event["replay_id"], transport)
            changes.append(Change(identity, named, len(changes)))
    return changes


def verify(connection: Connection, events: Sequence[Mapping[str, Any]], transport: str) -> Verdict:
    """Compare the org's event log with the audit log, the deliveries and the effects."""
    verdict = Verdict()
    verdict.counts["events published"] = len(events)
    added = connection.execute(_ADDED).fetchone()
    verdict.counts["added by comparisons"] = int(added[0]) if added else 0
    readings = {(row[0], row[1]) for row in connection.execute(_READ)}
    for name, heard in HEARD.items():
        changes = published(events, heard, transport_of(name, transport))
        entries = list(entries_of(connection, name))
        of_stream = [entry for entry in entries if not entry.is_in_one_of(readings)]
        verdict.counts["changes in a record as read"] += len(entries) - len(of_stream)
        verdict.counts["changes to record"] += len(changes)
        verdict.counts["changes recorded"] += len(entries)
        recorded = {entry.identity: entry for entry in of_stream}
        check_recording(verdict, name, changes, entries)
        _check_deliveries(verdict, HANDLED[name], of_stream)
        _check_effects(verdict, connection, HANDLED[name], changes, recorded)
    return verdict


def entries_of(connection: Connection, listener: str) -> Iterator[Entry]:
    for row in connection.execute(_ENTRIES, [listener]):
        entry_id, *identity, replay_id, handler, state, attempts, logged, error = row
        key, number, entity, record, kind = identity
        whole = (key, number, entity, record, kind)
        yield Entry(entry_id, whole, replay_id, handler, state, attempts, logged, error)


def check_recording(
    verdict: Verdict, listener: str, changes: Sequence[Change], entries: Sequence[Entry]
) -> None:
    recorded = Counter(entry.identity for entry in entries)
    due = {change.identity: change for change in changes}
    replay_ids = {entry.identity: entry.replay_id for entry in entries}
    for identity, change in due.items():
        if identity not in recorded:
            verdict.report("lost", f"{listener}: {change}")
        elif replay_ids[identity] != change.replay_id:
            verdict.report("wrong replay id", f"{listener}: {change}")
    for identity, count in recorded.items():
        if identity not in due:
            verdict.report("never published", f"{listener}: {identity}")
        if count > 1:
            verdict.report("recorded more than once", f"{listener}: {identity}")


def _check_deliveries(
    verdict: Verdict, handlers: Collection[str], entries: Sequence[Entry]
) -> None:
    for entry in entries:
        if entry.handler not in handlers:
            verdict.report("not delivered", entry)
        elif entry.state != "succeeded":
            verdict.report(f"ended as {entry.state}", entry)
        elif entry.attempts != entry.logged_attempts:
            verdict.report("attempts not written down", entry)
        verdict.counts["attempts"] += entry.logged_attempts


def _check_effects(
    verdict: Verdict,
    connection: Connection,
    handlers: Collection[str],
    changes: Sequence[Change],
    recorded: Mapping[Identity, Entry],
) -> None:
    effects: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for effect_id, entry_id, attempt in connection.execute(_EFFECTS, [list(handlers)]):
        effects[entry_id].append((effect_id, attempt))
        verdict.counts["effects"] += 1
    for entry in recorded.values():
        _check_count(verdict, entry, effects[entry.id])
    _check_order(verdict, changes, recorded, effects)


def _check_count(verdict: Verdict, entry: Entry, effects: Sequence[tuple[int, int]]) -> None:
    attempts = [attempt for _, attempt in effects]
    if entry.attempts not in attempts:
        verdict.report("no effect", entry)
    if entry.handler in HANDLED["everything"] and len(attempts) > 1:
        verdict.report("atomic effect more than once", entry)
    if len(attempts) != len(set(attempts)):
        verdict.report("one attempt twice", entry)


def _check_order(
    verdict: Verdict,
    changes: Sequence[Change],
    recorded: Mapping[Identity, Entry],
    effects: Mapping[int, Sequence[tuple[int, int]]],
) -> None:
    """Check that a delivery ended before the first attempt of the record's next one."""
    ended: dict[str, int] = {}
    for change in changes:
        entry = recorded.get(change.identity)
        if entry is None or not (of_entry := effects.get(entry.id)):
            continue
        if of_entry[0][0] < ended.get(change.record_id, 0):
            verdict.report("out of order", change)
        ending = [effect for effect, attempt in of_entry if attempt == entry.attempts]
        ended[change.record_id] = max(ending, default=0)
