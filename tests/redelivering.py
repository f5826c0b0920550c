"""A redelivery from its beginning to its end, in the test's own process, as the command does it."""

from datetime import datetime

from handlers.models import Redelivery
from handlers.redelivery.request import Counts, Wish
from handlers.redelivery.service import claimed
from handlers.redelivery.steps import work


def redeliver(wish: Wish, now: datetime) -> tuple[Redelivery, Counts]:
    """Never inside a transaction."""
    claim = claimed(wish, now)
    work(claim)
    return claim.job, claim.counts
