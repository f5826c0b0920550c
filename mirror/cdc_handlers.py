"""The built-in handler that applies changes to the rows of mirrors."""

from handlers import EventData, Skipped, cdc_handler
from mirror.apply import batch

#: With the pauses between attempts this is days: the rows wait for a database that is down or full.
_ATTEMPTS = 200


@cdc_handler(name="mirror.apply", batch=1000, max_attempts=_ATTEMPTS)
def apply(events: list[EventData]) -> Skipped | None:
    """Apply the changes to the rows of their mirror; records that events cannot decide are read
    from Salesforce."""
    return batch.apply(events)
