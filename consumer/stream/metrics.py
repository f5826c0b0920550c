"""Metrics that a listener process counts (docs/metrics.md); `consumer.status.db_metrics` has those
that are read from the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

from handlers.outbox.metrics import seconds_since
from listeners.clock import database_clock
from listeners.salesforce.errors import Reaction, SalesforceError

if TYPE_CHECKING:
    from consumer.ingest.transaction import Ingested, Message

_OF_A_LISTENER = ["listener"]

RECEIVED = Counter("cdc_messages_received", "Messages received.", _OF_A_LISTENER)
RECORDED = Counter("cdc_changes_recorded", "Changes recorded.", _OF_A_LISTENER)
REPEATED = Counter(
    "cdc_changes_repeated", "Changes received again that were already recorded.", _OF_A_LISTENER
)
QUARANTINED = Counter("cdc_messages_quarantined", "Messages quarantined raw.", _OF_A_LISTENER)
RECEIVE_SECONDS = Histogram(
    "cdc_receive_seconds",
    "Seconds from the commit in Salesforce to the receipt of a batch's first change.",
    _OF_A_LISTENER,
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86_400),
)
RECORD_SECONDS = Histogram(
    "cdc_record_seconds",
    "Seconds from the receipt to the recording of a batch's first change.",
    _OF_A_LISTENER,
)

OPENED = Counter("cdc_stream_opened", "Times the stream was opened.", _OF_A_LISTENER)
INTERRUPTED = Counter(
    "cdc_stream_interruptions",
    "Errors that ended a session or prevented one, with the reaction to each.",
    ["listener", "error", "reaction"],
)
RECEIVING = Gauge(
    "cdc_listener_receiving",
    "1 while this process receives for the listener.",
    _OF_A_LISTENER,
    multiprocess_mode="livemax",
)
LEASES_TAKEN = Counter(
    "cdc_leases_taken", "Times this process started the listener.", _OF_A_LISTENER
)
LEASES_LOST = Counter(
    "cdc_leases_lost", "Times another process took the lease from this one.", _OF_A_LISTENER
)
TOKENS = Counter(
    "cdc_tokens",
    "New tokens that this process used, and logins that were refused or unavailable.",
    ["connection", "outcome"],
)


def recorded(listener: str, result: Ingested, batch: Sequence[Message]) -> None:
    """Count a committed batch."""
    RECORDED.labels(listener).inc(result.entries)
    REPEATED.labels(listener).inc(result.repeated)
    QUARANTINED.labels(listener).inc(result.quarantined)
    received_at = batch[0].received_at
    elapsed = database_clock.estimate() - received_at
    RECORD_SECONDS.labels(listener).observe(max(0.0, elapsed.total_seconds()))
    if result.first_commit_timestamp is not None and result.entries:
        delay = seconds_since(result.first_commit_timestamp, received_at)
        RECEIVE_SECONDS.labels(listener).observe(delay)


def interrupted(listener: str, error: Exception, reaction: Reaction = Reaction.RETRY) -> None:
    """Count an interruption. `reaction` is for errors that do not define their own."""
    if isinstance(error, SalesforceError):
        reaction = error.reaction
    INTERRUPTED.labels(listener, type(error).__name__, reaction.value).inc()
