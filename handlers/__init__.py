"""Handler mappings, deliveries, the outbox and the worker; re-exports the API for handler authors.

Use `from handlers import EventData, Retry, Skipped, cdc_handler` in a handler module, `BatchFailed`
in a handler that takes a batch, and `salesforce_client` in code that has no event.
"""

from handlers.sdk.decorator import cdc_handler
from handlers.sdk.events import EventData, Metadata
from handlers.sdk.outcomes import BatchFailed, Retry, Skipped
from handlers.sdk.salesforce import salesforce_client

__all__ = [
    "BatchFailed",
    "EventData",
    "Metadata",
    "Retry",
    "Skipped",
    "cdc_handler",
    "salesforce_client",
]
