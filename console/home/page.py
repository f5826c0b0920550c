"""The home page, and the fragment of it that refreshes itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.gzip import gzip_page

from console import links
from console.home import facts, tables
from console.home.charts import HOUR, MINUTE, Chart, chart
from console.home.facts import Facts
from console.home.health_summary import health_summary
from console.navigation import Reader
from consumer.status.cached_reads import CachedReads
from handlers.models import Delivery
from listeners.models import Connection

#: Cached for less than the interval of a page, so that no page goes back in time.
PARTS: CachedReads[str] = CachedReads(seconds=2)
#: The step of the chart of a day.
STEP = timedelta(minutes=30)


@dataclass(frozen=True)
class Card:
    """A number that links to what it counts."""

    title: str
    number: str
    text: str
    href: str
    is_bad: bool = False


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Return the context of the admin index; called by unfold."""
    return {**context, "title": "Home", **_context(request)}


@gzip_page
def fragment(request: HttpRequest) -> HttpResponse:
    """Return the part that `refresh.js` refreshes, cached by what the user may see.

    A user who comes back to the page bypasses the cache.
    """
    html = PARTS.get(
        Reader.of(request),
        lambda: render_to_string("console/home_parts.html", _context(request), request),
        fresh="no-cache" in request.headers.get("Cache-Control", ""),
    )
    return HttpResponse(html, headers={"Cache-Control": "no-store"})


def _context(request: HttpRequest) -> dict[str, Any]:
    found = facts.read(Reader.of(request), timezone.now())
    return {
        "facts": found,
        "reader": found.reader,
        "verdict": health_summary(found),
        "begin": _beginning(found),
        "cards": list(_cards(found)),
        "charts": [(drawn, tables.bars(drawn)) for drawn in _charts(found)],
        "listeners_table": tables.listeners(found),
        "more_listeners": max(0, len(found.listeners) - tables.SHOWN),
        "listeners_link": links.listeners(),
        "workers_table": tables.workers(found),
    }


def _beginning(found: Facts) -> str:
    """Return the first thing to add, "connection" or "listener", until there is a listener."""
    if not found.reader.sees_listeners or found.listeners:
        return ""
    return "listener" if Connection.objects.exists() else "connection"


def _charts(found: Facts) -> list[Chart]:
    if not found.reader.sees_entries:
        return []
    return [
        chart("Last hour", found.minutes, found.now, span=HOUR, step=MINUTE),
        chart("Last day", found.minutes, found.now, span=24 * HOUR, step=STEP),
    ]


def _cards(found: Facts) -> Iterator[Card]:
    if found.reader.sees_entries:
        since = found.now - HOUR
        changes = sum(count for minute, count in found.minutes.items() if minute > since)
        yield Card("Changes", f"{changes:,}", "in the last hour", links.entries(since))
    if found.reader.sees_deliveries:
        yield _deliveries(found, Delivery.State.DEAD, "Dead letters", "out of retries")
        yield _deliveries(found, Delivery.State.RETRYING, "Retrying", "waiting for retry")
    if found.reader.sees_incidents:
        count, new = found.incidents.count, found.incidents.unacknowledged
        text = f"{count - new:,} acknowledged" if count else "none open"
        yield Card("Open incidents", f"{count:,}", text, links.incidents(), is_bad=bool(new))
    if found.reader.sees_workers:
        live = len(found.live_workers)
        text = "online" if live else "none online"
        yield Card("Workers", f"{live:,}", text, links.workers(), is_bad=not live)


def _deliveries(found: Facts, state: Delivery.State, title: str, text: str) -> Card:
    count = found.backlog.totals[state.value]
    is_bad = bool(count) and state == Delivery.State.DEAD
    shown = found.backlog.shown(count, state.value)
    return Card(title, shown, text, links.deliveries(state.value), is_bad=is_bad)
