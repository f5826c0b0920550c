"""The scope of a comparison: its entities, the bounds of its queries, and its completeness rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from audit.models import AuditLogEntry, Reconciliation
from consumer.reconciliation.evidence import Rule
from consumer.reconciliation.salesforce_rows import SECOND
from listeners.models import Listener
from listeners.salesforce.channel import entity_of

Reason = Reconciliation.Reason

#: The longest time between saving a record and committing its transaction.
LONGEST_TRANSACTION = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Scope:
    """The query's bounds in ms since 1970, whether it includes deleted records, and the rule for
    its rows."""

    since: int | None
    until: int | None
    deleted: bool
    rule: Rule


def scope_of(job: Reconciliation) -> Scope:
    """Return the scope of a comparison.

    Where changes are known to be lost there is no upper bound: a record that changed again has
    moved out of the window, and its earlier change may still be missing.
    """
    match Reason(job.reason):
        case Reason.ASKED:
            rule = Rule(strict_from=None, lost_until=None, trusts_second=True)
            return Scope(_ms(job.window_start), _end(job.window_end), True, rule)
        case Reason.WILDCARD:
            return Scope(None, None, False, Rule(0, _event_at(job), trusts_second=False))
        case Reason.OVERFLOW:
            committed = _event_at(job)
            strict = Rule(committed // SECOND * SECOND, committed - 1, trusts_second=False)
            return Scope(_ms(job.window_start), None, True, strict)
        case Reason.REPLAY_LOST | Reason.OUTAGE:
            rule = Rule(_ms(job.window_start), _first_change_after(job), trusts_second=True)
            return Scope(_first_due(job), None, True, rule)


def _first_change_after(job: Reconciliation) -> int | None:
    """Return the commit timestamp of the first change that the stream brought after the loss: from
    then on it brought all changes."""
    after = AuditLogEntry.objects.filter(
        listener=job.listener,
        source=AuditLogEntry.Source.STREAM,
        received_at__gte=job.window_end,
    )
    return after.order_by("id").values_list("commit_timestamp", flat=True).first()


def _first_due(job: Reconciliation) -> int | None:
    """Return the start of the query in ms: some time before the window, but not before the first
    change that was recorded before the loss."""
    if job.window_start is None:
        return None
    since = job.window_start - LONGEST_TRANSACTION
    recorded = AuditLogEntry.objects.filter(
        listener=job.listener,
        source=AuditLogEntry.Source.STREAM,
        received_at__lt=job.window_end,
    )
    first = recorded.order_by("id").values_list("commit_timestamp", flat=True).first()
    return _ms(job.window_start) if first is None else max(_ms(since) or 0, first)


def _event_at(job: Reconciliation) -> int:
    """Return the commit timestamp of the overflow or wildcard; the window's end if its entry was
    pruned."""
    return job.entry.commit_timestamp if job.entry else _end(job.window_end)


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp()) * SECOND


def _end(moment: datetime) -> int:
    """Return the end of the time's second, in ms."""
    return (int(moment.timestamp()) + 1) * SECOND


def entities_of(listener: Listener) -> list[str]:
    """Return the channel's entity; for a channel with several, the entities of the listener's
    mappings and of its recorded changes, sorted."""
    single = entity_of(listener.channel)
    if single is not None:
        return [single]
    mapped = listener.mappings.exclude(entity="*").values_list("entity", flat=True)
    entries = AuditLogEntry.objects.filter(listener=listener)
    recorded = (name for name in _recorded() if entries.filter(entity_name=name).exists())
    return sorted({*mapped, *recorded})


def _recorded() -> Iterator[str]:
    """Yield the entities of the whole log, with one index lookup for each."""
    last = ""
    names = AuditLogEntry.objects.order_by("entity_name").values_list("entity_name", flat=True)
    while (name := names.filter(entity_name__gt=last).first()) is not None:
        yield name
        last = name
