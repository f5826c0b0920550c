"""What handler modules use: `from handlers import EventData, Retry, Skipped, cdc_handler`,
`BatchFailed` where they take many changes at once, and `salesforce_client` where there is no event.
"""

from handlers.decorator import cdc_handler
from handlers.events import EventData, Metadata
from handlers.outcomes import BatchFailed, Retry, Skipped
from handlers.salesforce import salesforce_client

__all__ = [
    "BatchFailed",
    "EventData",
    "Metadata",
    "Retry",
    "Skipped",
    "cdc_handler",
    "salesforce_client",
]
