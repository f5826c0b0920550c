"""What handler modules use: `from handlers import EventData, Retry, Skipped, cdc_handler`,
`BatchFailed` where they take many changes at once, and `salesforce_client` where there is no event.
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
