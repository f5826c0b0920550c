"""Which recorded changes are sent to their handlers again, and what can become of each."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db.models import Q

from audit.action_log import Actor
from audit.models import AuditLogEntry
from audit.models.entry_queryset import FAILED, AuditLogFilter
from handlers.models import Delivery, HandlerMapping, Redelivery
from handlers.sdk import registry
from handlers.sdk.outcomes import MAPPING_DELETED

State = Delivery.State
#: For how many entries a request finds out which mappings lack them; a command does for any number.
MOST_COUNTED = 20_000
ON_THEIR_WAY = frozenset({State.BLOCKED, State.READY, State.QUEUED, State.RUNNING})
ENDED_WELL = frozenset({State.SUCCEEDED, State.SKIPPED, State.SENT})
PRUNED = "it was pruned meanwhile"
#: Left out from the start, such as an echo of one's own: sent when that very one is asked for.
LEFT_OUT = Q(state=State.SKIPPED, attempts=0)


_UP_TO_DATE = (
    "They are sent with the present values of their fields; those whose record was deleted since "
    "are skipped."
)
_AS_RECORDED = (
    "They are sent as they were recorded: handlers that apply them go back to older values, and "
    "deleted records may come back."
)


class Verdict(StrEnum):
    """What a redelivery does to a delivery."""

    SENT_AGAIN = "sent_again"
    FIRST_TIME = "first_time"
    ON_ITS_WAY = "on_its_way"
    ENDED_SINCE = "ended_since"
    NOT_POSSIBLE = "not_possible"


@dataclass(frozen=True, slots=True, order=True)
class Row:
    """Deliveries that are counted together; `reason` says why they are not possible."""

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
class Wish:
    """Who asks for what, and why.

    deliveries   those to send again
    entries      those to send to mappings that match now and never had them; None: to none
    handler      of `entries`: to mappings with this handler or task alone
    as_recorded  also what later changes of the record have overtaken arrives unchanged
    """

    by: Actor
    deliveries: Any
    reason: str = ""
    entries: Any = None
    handler: str = ""
    criteria: dict[str, Any] = field(default_factory=dict)
    as_recorded: bool = False


def fate_of_overtaken(number: int | None, *, as_recorded: bool) -> str:
    """What becomes of the deliveries that later changes have overtaken, in words. `number`: None
    where it took too long to count them."""
    if number == 0:
        return "Later changes have overtaken none of them."
    count = "too many to count now" if number is None else f"{number:,}"
    fate = _AS_RECORDED if as_recorded else _UP_TO_DATE
    return f"Overtaken by later changes of their records: {count}. {fate}"


class Contradiction(ValueError):
    """Leave one of the two out that the message names."""


class TooMany(ValueError):
    """Narrow what is asked for, or have manage.py redeliver_cdc_events do it."""


def wish(
    wanted: AuditLogFilter,
    by: Actor,
    *,
    reason: str = "",
    new_handlers: bool = False,
    as_recorded: bool = False,
) -> Wish:
    """What a filter asks for: its handler and its state pick among the deliveries of an entry.

    Raises Contradiction for a state together with new handlers, who have no delivery yet.
    """
    if new_handlers and wanted.state:
        raise Contradiction("What was never delivered has no state: leave the state out.")
    alike = replace(wanted, handler=None, state=None)
    return Wish(
        by=by,
        reason=reason,
        deliveries=picked(wanted),
        entries=AuditLogEntry.objects.all().matching(alike) if new_handlers else None,
        handler=wanted.handler or "",
        criteria=named(wanted) | _chosen(new_handlers=new_handlers, as_recorded=as_recorded),
        as_recorded=as_recorded,
    )


def refuse_to_count(asked: Wish) -> None:
    """For who is waited for by a web server, which gives up on long requests. Raises TooMany."""
    if asked.entries is None:
        return
    if asked.entries.order_by()[: MOST_COUNTED + 1].count() > MOST_COUNTED:
        raise TooMany(
            f"Those are more than {MOST_COUNTED:,} entries to match: narrow it down, or use "
            "manage.py redeliver_cdc_events --dry-run."
        )


def picked(wanted: AuditLogFilter) -> Any:
    """The deliveries of the entries that a filter picks, of its handler and in its state.

    What was left out from the start, such as an echo of one's own, is picked by its state alone.
    """
    found = Delivery.objects.all()
    alike = replace(wanted, handler=None, state=None)
    if any(asdict(alike).values()):
        found = found.filter(entry__in=AuditLogEntry.objects.all().matching(alike).order_by())
    if wanted.handler:
        found = found.filter(handler=wanted.handler)
    if not wanted.state:
        return found.exclude(LEFT_OUT)
    return found.filter(state__in=FAILED if wanted.state == "failed" else (wanted.state,))


def named(wanted: AuditLogFilter) -> dict[str, str]:
    """What it picks by, to be written down."""
    return {name: _text(value) for name, value in asdict(wanted).items() if value}


def _chosen(**options: bool) -> dict[str, bool]:
    return {name: True for name, is_chosen in options.items() if is_chosen}


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def judged(handler: str, state: str, mapping: HandlerMapping | None, was: str = "") -> Row:
    """What is done with a delivery in that state, whose mapping says this now. `was`: its state
    when it was picked; what failed then and has ended well since needs nothing any more."""
    if state in ON_THEIR_WAY:
        return Row(handler, state, Verdict.ON_ITS_WAY)
    if was in FAILED and state in ENDED_WELL:
        return Row(handler, state, Verdict.ENDED_SINCE)
    if reason := _obstacle(mapping):
        return Row(handler, state, Verdict.NOT_POSSIBLE, reason)
    return Row(handler, state, Verdict.SENT_AGAIN)


def stored(counts: Counts) -> list[list[Any]]:
    """As `Redelivery.counts` has them."""
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
        return "its mapping names no handler any more"
    if mapping.handler and registry.find(mapping.handler) is None:
        return f"no handler is registered under the name {mapping.handler!r}"
    return ""
