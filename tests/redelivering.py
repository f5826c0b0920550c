"""Runs a whole redelivery in the test's own process, as the command does."""

from datetime import datetime

from handlers.models import Redelivery
from handlers.redelivery.job import work
from handlers.redelivery.request import Counts, RedeliveryRequest
from handlers.redelivery.start import claimed


def redeliver(request: RedeliveryRequest, now: datetime) -> tuple[Redelivery, Counts]:
    """Run the redelivery to its end. Never inside a transaction."""
    claim = claimed(request, now)
    work(claim)
    return claim.job, claim.counts
