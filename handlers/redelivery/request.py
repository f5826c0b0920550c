"""Redelivery requests: which recorded changes are redelivered, and the outcome for each."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db.models import Q

from audit.action_log import Actor
from audit.models import AuditLogEntry, AuditLogFilter
from audit.models.entry import FAILED
from handlers.models import Delivery, HandlerMapping, Redelivery
from handlers.sdk import registry
from handlers.sdk.outcomes import MAPPING_DELETED

State = Delivery.State
#: Most entries that an HTTP request matches with new mappings; the command has no such limit.
MOST_COUNTED = 20_000
ON_THEIR_WAY = frozenset({State.BLOCKED, State.READY, State.QUEUED, State.RUNNING})
ENDED_WELL = frozenset({State.SUCCEEDED, State.SKIPPED, State.SENT})
PRUNED = "it has been pruned"
#: Skipped without an attempt, such as our own writes: redelivered only when picked by state.
LEFT_OUT = Q(state=State.SKIPPED, attempts=0)


_UP_TO_DATE = (
    "They are redelivered with the current values of their fields; changes of records that have "
    "since been deleted are skipped."
)
_AS_RECORDED = (
    "They are redelivered as recorded: handlers that apply them restore older values and may "
    "recreate deleted records."
)


class Verdict(StrEnum):
    """The way in which a redelivery treats a delivery."""

    SENT_AGAIN = "sent_again"
    FIRST_TIME = "first_time"
    ON_ITS_WAY = "on_its_way"
    ENDED_SINCE = "ended_since"
    NOT_POSSIBLE = "not_possible"


@dataclass(frozen=True, slots=True, order=True)
class Row:
    """Deliveries that are counted together; `reason` says why they cannot be redelivered."""

    handler: str
    state: str
    verdict: Verdict
    reason: str = ""


Counts = Counter[Row]


def total(counts: Counts, *verdicts: Verdict) -> int:
    return sum(count for row, count in counts.items() if row.verdict in verdicts)


def sent(counts: Counts) -> int:
    return total(counts, Verdict.SENT_AGAIN, Verdict.FIRST_TIME)


@dataclass(frozen=True)
class RedeliveryRequest:
    """A redelivery request.

    deliveries   a queryset of the deliveries to redeliver
    entries      a queryset of the entries to send to mappings that have no delivery of them; None:
                 no entries
    handler      limits `entries` to mappings with this handler or task
    as_recorded  also send changes unchanged that later changes of the record have overtaken
    """

    by: Actor
    deliveries: Any
    reason: str = ""
    entries: Any = None
    handler: str = ""
    criteria: dict[str, Any] = field(default_factory=dict)
    as_recorded: bool = False


def fate_of_overtaken(number: int | None, *, as_recorded: bool) -> str:
    """Return a text that says what happens to overtaken deliveries.

    `number` is None when counting them took too long.
    """
    if number == 0:
        return "None of them was overtaken by later changes of its record."
    count = "too many to count" if number is None else f"{number:,}"
    fate = _AS_RECORDED if as_recorded else _UP_TO_DATE
    return f"Overtaken by later changes of their records: {count}. {fate}"


class Contradiction(ValueError):
    """Two options exclude each other. Leave out one of them."""


class TooMany(ValueError):
    """Too many rows for an HTTP request. Narrow the filter, or use redeliver_cdc_events."""


def request_matching(
    wanted: AuditLogFilter,
    by: Actor,
    *,
    reason: str = "",
    new_handlers: bool = False,
    as_recorded: bool = False,
) -> RedeliveryRequest:
    """Return the request for a filter, whose handler and state pick among an entry's deliveries.

    Raises Contradiction for a state together with `new_handlers`, which have no delivery yet.
    """
    if new_handlers and wanted.state:
        raise Contradiction(
            "New handlers have no deliveries yet, so no state to filter by: leave the state out."
        )
    of_entries = replace(wanted, handler=None, state=None)
    options = {"new_handlers": new_handlers, "as_recorded": as_recorded}
    chosen = {name: True for name, is_chosen in options.items() if is_chosen}
    return RedeliveryRequest(
        by=by,
        reason=reason,
        deliveries=deliveries_matching(wanted),
        entries=AuditLogEntry.objects.all().matching(of_entries) if new_handlers else None,
        handler=wanted.handler or "",
        criteria=criteria_of(wanted) | chosen,
        as_recorded=as_recorded,
    )


def refuse_to_count(request: RedeliveryRequest) -> None:
    """Raise TooMany when matching the entries would outlast an HTTP request."""
    if request.entries is None:
        return
    if request.entries.order_by()[: MOST_COUNTED + 1].count() > MOST_COUNTED:
        raise TooMany(
            f"More than {MOST_COUNTED:,} entries match: narrow the filter, or use "
            "manage.py redeliver_cdc_events --dry-run."
        )


def deliveries_matching(wanted: AuditLogFilter) -> Any:
    """Return the deliveries that a filter matches.

    Deliveries that were skipped without an attempt are included only when the filter names a state.
    """
    found = Delivery.objects.all()
    of_entries = replace(wanted, handler=None, state=None)
    if any(asdict(of_entries).values()):
        found = found.filter(entry__in=AuditLogEntry.objects.all().matching(of_entries).order_by())
    if wanted.handler:
        found = found.filter(handler=wanted.handler)
    if not wanted.state:
        return found.exclude(LEFT_OUT)
    return found.filter(state__in=FAILED if wanted.state == "failed" else (wanted.state,))


def criteria_of(wanted: AuditLogFilter) -> dict[str, str]:
    """Return the filter's criteria as JSON values, by name."""
    return {name: _text(value) for name, value in asdict(wanted).items() if value}


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def row_for(handler: str, state: str, mapping: HandlerMapping | None, was: str = "") -> Row:
    """Return the row in which to count a delivery.

    `was` is the delivery's state when it was picked: a failed delivery that has succeeded since is
    not redelivered.
    """
    if state in ON_THEIR_WAY:
        return Row(handler, state, Verdict.ON_ITS_WAY)
    if was in FAILED and state in ENDED_WELL:
        return Row(handler, state, Verdict.ENDED_SINCE)
    if reason := _obstacle(mapping):
        return Row(handler, state, Verdict.NOT_POSSIBLE, reason)
    return Row(handler, state, Verdict.SENT_AGAIN)


def stored(counts: Counts) -> list[list[Any]]:
    """Return the counts in the form of `Redelivery.counts`."""
    rows = sorted(counts.items())
    return [[row.handler, row.state, row.verdict.value, row.reason, n] for row, n in rows]


def counts_of(redelivery: Redelivery) -> Counts:
    return Counter(
        {
            Row(handler, state, Verdict(verdict), reason): number
            for handler, state, verdict, reason, number in redelivery.counts
        }
    )


def _obstacle(mapping: HandlerMapping | None) -> str:
    if mapping is None:
        return MAPPING_DELETED
    if not (mapping.handler or mapping.task):
        return "its mapping no longer has a handler"
    if mapping.handler and registry.find(mapping.handler) is None:
        return f"no handler is registered under the name {mapping.handler!r}"
    return ""
