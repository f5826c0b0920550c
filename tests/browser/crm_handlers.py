"""Handlers as a customer might have them; one has a fault that can be repaired."""

import os
from pathlib import Path

from handlers import EventData, Skipped, cdc_handler

#: While this file is not there, `crm.sync_contact` has its fault.
MENDED = Path(os.environ["CDC_TEST_FOLDER"]) / "mended"


@cdc_handler(name="crm.sync_account", atomic=True)
def sync_account(event: EventData) -> None:
    """Keep our copy of the account up to date."""


@cdc_handler(name="crm.sync_contact", max_attempts=1)
def sync_contact(event: EventData) -> None:
    """Keep our copy of the contact up to date."""
    phone = event.changed_data.get("Phone")
    if phone and not MENDED.exists():
        _country_of(phone)


def _country_of(phone: str) -> str:
    countries = {"+41": "CH", "+43": "AT"}
    return countries[phone[:3]]


@cdc_handler(name="billing.note_revenue")
def note_revenue(event: EventData) -> Skipped | None:
    """Tell billing what an opportunity is worth."""
    amount = event.changed_data.get("Amount")
    if amount is None:
        return Skipped("the amount is as it was")
    if amount > 100_000:
        raise TimeoutError(f"billing has not answered within 10 s for {event.metadata.record_id}")
    return None


@cdc_handler(name="search.forget_record")
def forget_record(event: EventData) -> None:
    """Take a deleted record out of the search."""
