"""What handler modules use: `from handlers import EventData, Retry, Skipped, cdc_handler`, and
`BatchFailed` where they take many changes at once."""

from handlers.events import EventData, Metadata
from handlers.outcomes import BatchFailed, Retry, Skipped
from handlers.registry import cdc_handler

__all__ = ["BatchFailed", "EventData", "Metadata", "Retry", "Skipped", "cdc_handler"]
