"""What a comparison asks Salesforce for, and when a record counts as complete in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from audit.models import AuditLogEntry, Reconciliation
from consumer.reconciliation.evidence import Rule
from consumer.reconciliation.salesforce_rows import SECOND
from consumer.reconciliation.schedule import MARGIN
from listeners.models import Listener
from listeners.salesforce.channel import entity_of

Reason = Reconciliation.Reason

#: A transaction may be open for so long: it was committed in the window, and saved before.
LONGEST_TRANSACTION = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Scope:
    """The query's bounds in ms since 1970, and the rule for its rows."""

    since: int | None
    until: int | None
    deleted: bool
    rule: Rule


def scope_of(job: Reconciliation) -> Scope:
    """Where changes are known to be lost there is no upper bound: a record that was changed again
    since has moved out of the window, and may lack the earlier change all the same."""
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


def lost_after(job: Reconciliation) -> int | None:
    """Up to when nothing was lost, in ms; None where that is not known."""
    if job.reason != Reason.REPLAY_LOST or job.window_start is None:
        return None
    return _ms(job.window_start + MARGIN)


def _first_change_after(job: Reconciliation) -> int | None:
    """When the first change was committed that the stream brought after the loss: from then on it
    brought them all."""
    after = AuditLogEntry.objects.filter(
        listener=job.listener,
        source=AuditLogEntry.Source.STREAM,
        received_at__gte=job.window_end,
    )
    return after.order_by("id").values_list("commit_timestamp", flat=True).first()


def _first_due(job: Reconciliation) -> int | None:
    """Some time before the window; nothing is due from before the first change ever recorded,
    which what came after the loss is not."""
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
    """The commit of the overflow or wildcard; once its entry was pruned, the window's end."""
    return job.entry.commit_timestamp if job.entry else _end(job.window_end)


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp()) * SECOND


def _end(moment: datetime) -> int:
    """The end of its second."""
    return (int(moment.timestamp()) + 1) * SECOND


ANY = "*"


def entities_of(listener: Listener) -> list[str]:
    """The channel's own entity; of a channel with several, those that the listener's mappings name
    and those that it has recorded changes of. Sorted."""
    single = entity_of(listener.channel)
    if single is not None:
        return [single]
    mapped = listener.mappings.exclude(entity=ANY).values_list("entity", flat=True)
    recorded = (name for name in _recorded() if _has_recorded(listener, name))
    return sorted({*mapped, *recorded})


def _recorded() -> Iterator[str]:
    """The entities of the whole log, one step of the index for each."""
    last = ""
    names = AuditLogEntry.objects.order_by("entity_name").values_list("entity_name", flat=True)
    while (name := names.filter(entity_name__gt=last).first()) is not None:
        yield name
        last = name


def _has_recorded(listener: Listener, entity: str) -> bool:
    return AuditLogEntry.objects.filter(listener=listener, entity_name=entity).exists()
