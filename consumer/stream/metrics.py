"""What a listener process counts; docs/metrics.md. What the database knows is in state_metrics."""

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

RECEIVED = Counter("cdc_messages_received", "Messages that the stream brought.", _OF_A_LISTENER)
RECORDED = Counter("cdc_changes_recorded", "Changes recorded.", _OF_A_LISTENER)
REPEATED = Counter("cdc_changes_repeated", "Changes that were recorded before.", _OF_A_LISTENER)
QUARANTINED = Counter("cdc_messages_quarantined", "Messages kept raw.", _OF_A_LISTENER)
RECEIVE_SECONDS = Histogram(
    "cdc_receive_seconds",
    "From the commit in Salesforce to the receipt of a batch's first change.",
    _OF_A_LISTENER,
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86_400),
)
RECORD_SECONDS = Histogram(
    "cdc_record_seconds",
    "From receipt to the recording of a batch's first change.",
    _OF_A_LISTENER,
)

OPENED = Counter("cdc_stream_opened", "Times the stream was opened.", _OF_A_LISTENER)
INTERRUPTED = Counter(
    "cdc_stream_interruptions",
    "What ended a session or kept one from being opened, and what was done about it.",
    ["listener", "error", "reaction"],
)
RECEIVING = Gauge(
    "cdc_listener_receiving",
    "1 while this process receives for the listener.",
    _OF_A_LISTENER,
    multiprocess_mode="livemax",
)
LEASES_TAKEN = Counter(
    "cdc_leases_taken", "Times this process began to run the listener.", _OF_A_LISTENER
)
LEASES_LOST = Counter(
    "cdc_leases_lost", "Times another process had it before this one let go.", _OF_A_LISTENER
)
TOKENS = Counter(
    "cdc_tokens",
    "Tokens that this process took up (new), and logins that were refused or unavailable.",
    ["connection", "outcome"],
)


def recorded(listener: str, result: Ingested, batch: Sequence[Message]) -> None:
    RECORDED.labels(listener).inc(result.entries)
    REPEATED.labels(listener).inc(result.repeated)
    QUARANTINED.labels(listener).inc(result.quarantined)
    received_at = batch[0].received_at
    waited = database_clock.estimate() - received_at
    RECORD_SECONDS.labels(listener).observe(max(0.0, waited.total_seconds()))
    if result.committed is not None and result.entries:
        took = seconds_since(result.committed, received_at)
        RECEIVE_SECONDS.labels(listener).observe(took)


def interrupted(listener: str, error: Exception, reaction: Reaction = Reaction.RETRY) -> None:
    """`reaction`: to what does not say itself."""
    if isinstance(error, SalesforceError):
        reaction = error.reaction
    INTERRUPTED.labels(listener, type(error).__name__, reaction.value).inc()
