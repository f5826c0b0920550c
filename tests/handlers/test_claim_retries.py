"""A claim survives a short absence of the database."""

import pytest
from django.conf import settings

from handlers.worker import claim
from handlers.worker.time_limit import claim_span


@pytest.mark.parametrize("seconds", [4, 90, 600])
def test_work_before_the_first_renewal_ends_before_the_claim_does(seconds, monkeypatch):
    monkeypatch.setattr(settings, "CDC_CLAIM_SECONDS", seconds)
    limits = []
    monkeypatch.setattr(claim, "retry", lambda work, what, *, limit: limits.append(limit))

    claim._retry_unrenewed(lambda: None, "load")

    # The first renewal follows within a quarter of the claim.
    assert limits[0] <= claim_span().total_seconds() / 2
    assert limits[0] <= 20


def test_a_claim_is_retried_longer_than_a_failover_takes():
    assert claim.CLAIM_RETRY_SECONDS >= 90
