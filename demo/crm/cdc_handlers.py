"""A handler that runs after the mirror, and sees the whole record."""

import structlog

from handlers import EventData, Skipped, cdc_handler

log = structlog.get_logger(__name__)


@cdc_handler(name="demo.log_account")
def log_account(event: EventData) -> Skipped | None:
    """Log which account changed, with fields that the event itself may lack."""
    account = event.record
    if account is None or account.is_deleted:
        return Skipped("the account was deleted")
    log.info("account", name=account.name, city=account.billing_city, fields=[*event.changed_data])
    return None
