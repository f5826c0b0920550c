"""The tables of the home page, in the form that unfold's table component expects.

Each cell repeats its heading for narrow screens, where every cell has a line of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from console import links
from console.home.charts import Chart, shown
from console.home.facts import Facts
from console.home.health_summary import is_in_trouble
from console.labels import STATE_VARIANTS, joined, label
from consumer.status.listeners import ListenerStatus
from handlers.models import Delivery, Worker
from listeners.listener_state import STALLED
from listeners.models import Listener, Position

Table = dict[str, Any]
State = Position.State

_VARIANTS = {
    State.RECEIVING.value: "success",
    State.CONNECTING.value: "info",
    State.FAILED.value: "danger",
    STALLED: "danger",
}
_TRANSPORTS = {
    Listener.Transport.COMETD.value: "CometD",
    Listener.Transport.PUBSUB.value: "Pub/Sub",
}
#: The most listeners shown; a link leads to the others.
SHOWN = 25
#: A position older than 48 of the 72 hours is an incident.
_SHORT_RUNWAY = 24
_NO_PROCESS = "No process runs this listener. Start one with manage.py run_cdc_listener."


def listeners(facts: Facts) -> Table:
    """Return the table of listeners, those in trouble first."""
    headings = ["Listener", "State", "Last event", "Lag", "Time left to replay"]
    headings += ["Backlog"] if facts.reader.sees_deliveries else []
    headings += ["Open incidents"] if facts.reader.sees_incidents else []
    headings += ["Last 24 h"]
    ordered = sorted(facts.listeners, key=lambda pair: not is_in_trouble(pair[1]))
    return {
        "headers": headings,
        "rows": [
            _row(f"listener-{listener.pk}", headings, _listener(listener, status, facts))
            for listener, status in ordered[:SHOWN]
        ],
    }


def _listener(listener: Listener, status: ListenerStatus, facts: Facts) -> Iterator[Any]:
    yield format_html(
        '<a class="text-link font-semibold" href="{}">{}</a><br>'
        '<span class="text-subtle">{}</span>',
        links.listener(listener.pk),
        listener.name,
        _TRANSPORTS.get(listener.transport, listener.transport),
    )
    yield _state(status)
    yield ago(status.last_event_at, facts.now)
    yield "-" if status.lag_seconds is None else _unbroken(_seconds(status.lag_seconds))
    yield _runway(status.runway_hours)
    if facts.reader.sees_deliveries:
        yield _backlog(listener, status, facts)
    if facts.reader.sees_incidents:
        count = status.open_incidents
        href = links.incidents(listener.pk)
        yield label(f"{count:,}", "danger", href=href) if count else "none"
    yield str(status.usage)


def _state(status: ListenerStatus) -> SafeString:
    text, variant = status.state, _VARIANTS.get(status.state, "")
    reason = status.reason or ""
    if not status.enabled:
        text = "disabled" if status.state == State.STOPPED else f"{text}, disabled"
    elif status.state == State.STOPPED:
        variant, reason = "danger", reason or _NO_PROCESS
    shown_state = label(text, variant)
    if not reason:
        return shown_state
    return format_html('{}<br><span class="home-reason">{}</span>', shown_state, reason)


def _runway(hours: float | None) -> SafeString | str:
    if hours is None:
        return "-"
    text = f"{hours:.1f} h"
    return label(text, "warning") if hours < _SHORT_RUNWAY else _unbroken(text)


def _backlog(listener: Listener, status: ListenerStatus, facts: Facts) -> SafeString | str:
    found = [
        label(
            f"{state.label} {facts.backlog.shown(count, state.value)}",
            STATE_VARIANTS[state],
            href=links.deliveries(state.value, listener.name),
        )
        for state in Delivery.State
        if (count := status.backlog.get(state.value, 0))
    ]
    return joined(found) if found else "none"


def workers(facts: Facts) -> Table:
    headings = ["Worker", "State", "Queues", "Last seen"]
    return {
        "headers": headings,
        "rows": [
            _row(f"worker-{worker.pk}", headings, _worker(worker, facts.now))
            for worker in facts.workers
        ],
    }


def _worker(worker: Worker, now: datetime) -> Iterator[Any]:
    processes = f"process {worker.pid}"
    if worker.concurrency:
        processes += f", concurrency {worker.concurrency}"
    yield format_html('{}<br><span class="text-subtle">{}</span>', worker.name, processes)
    is_live = getattr(worker, "is_live", False)
    yield label("Online", "success") if is_live else label("Offline", "warning")
    # Not as labels, which are shown in capitals: queue names are case-sensitive.
    yield ", ".join(worker.queues)
    yield ago(worker.seen_at, now)


def bars(chart: Chart) -> Table:
    """Return the values of a chart as an accessible table, newest first."""
    return {
        "headers": ["From", "Changes per minute", "Changes"],
        "rows": [
            [
                f"{localtime(bar.since):%Y-%m-%d %H:%M}",
                shown(bar.rate),
                format_html(
                    '<a class="text-link" href="{}">{}</a>',
                    links.entries(bar.since, bar.until),
                    f"{bar.changes:,}",
                ),
            ]
            for bar in reversed(chart.bars)
        ],
    }


def ago(when: datetime | None, now: datetime) -> SafeString | str:
    if when is None:
        return "never"
    local = localtime(when)
    return format_html(
        '<time class="whitespace-nowrap" datetime="{}" title="{}">{} ago</time>',
        local.isoformat(),
        f"{local:%Y-%m-%d %H:%M:%S %Z}",
        _seconds(max(0.0, (now - when).total_seconds()), digits=0),
    )


def _unbroken(text: str) -> SafeString:
    return format_html('<span class="whitespace-nowrap">{}</span>', text)


def _seconds(seconds: float, digits: int = 1) -> str:
    if seconds < 60:
        return f"{seconds:.{digits}f} s"
    for unit, length in (("min", 60), ("h", 3600)):
        if seconds < length * (60 if unit == "min" else 48):
            return f"{seconds / length:.0f} {unit}"
    return f"{timedelta(seconds=seconds).days} d"


def _row(key: str, headings: list[str], cells: Iterator[Any]) -> dict[str, Any]:
    cols = [
        format_html('<span class="home-heading">{}</span><div>{}</div>', heading, cell)
        for heading, cell in zip(headings, cells, strict=True)
    ]
    return {"cols": cols, "attrs": {"id": key}}
