"""Prometheus metrics of a listener process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from prometheus_client import Counter, Gauge, Histogram

from audit.traffic import Usage
from consumer.watch import Watched
from handlers.pausing import Paused
from listeners.standing import runway_hours

RECORDED = Counter("cdc_changes_recorded", "Changes recorded.", ["listener"])
REPEATED = Counter("cdc_changes_repeated", "Changes that were recorded before.", ["listener"])
QUARANTINED = Counter("cdc_messages_quarantined", "Messages kept raw.", ["listener"])
PUBLISHED = Counter("cdc_deliveries_published", "Deliveries handed to the broker.")
OPENED = Counter("cdc_stream_opened", "Times the stream was opened.", ["listener"])
RECEIVING = Gauge("cdc_listener_receiving", "1 while the listener receives.", ["listener"])
BATCH_SECONDS = Histogram(
    "cdc_record_seconds", "From receipt to the recording of a batch's first change.", ["listener"]
)

# Of every listener, whatever process runs it.
RUNWAY = Gauge("cdc_runway_hours", "Until Salesforce forgets the stored position.", ["listener"])
DELIVERED = Gauge("cdc_events_delivered_24h", "Events delivered in 24 hours.", ["listener"])
ORG_LIMIT = Gauge("cdc_org_events_limit", "Events that the org allows a day.", ["listener"])
ORG_REMAINING = Gauge("cdc_org_events_remaining", "Of those, how many are left.", ["listener"])
PAUSED = Gauge(
    "cdc_paused_deliveries",
    "Deliveries that wait for a paused handler, up to 10000; no sample: it is not paused.",
    ["listener", "handler"],
)


def show(seen: Sequence[Watched], usages: Mapping[int, Usage], now: datetime) -> None:
    """Set the gauges anew; what is not known has no sample."""
    for gauge in (RUNWAY, DELIVERED, ORG_LIMIT, ORG_REMAINING):
        gauge.clear()
    for one in seen:
        usage = usages.get(one.listener.pk, Usage())
        for gauge, value in (
            (RUNWAY, runway_hours(one.position, now) if one.position else None),
            (DELIVERED, usage.delivered),
            (ORG_LIMIT, usage.org_limit),
            (ORG_REMAINING, usage.org_remaining),
        ):
            if value is not None:
                gauge.labels(one.listener.name).set(value)


def show_paused(found: Sequence[Paused]) -> None:
    """The same for what waits for paused handlers."""
    PAUSED.clear()
    for one in found:
        PAUSED.labels(one.mapping.listener.name, one.handler).inc(one.waiting)
