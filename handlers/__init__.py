"""What handler modules use: `from handlers import EventData, Retry, Skipped, cdc_handler`."""

from handlers.events import EventData, Metadata
from handlers.outcomes import Retry, Skipped
from handlers.registry import cdc_handler

__all__ = ["EventData", "Metadata", "Retry", "Skipped", "cdc_handler"]
