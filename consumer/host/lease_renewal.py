"""Renews the leases of a process's listeners, apart from everything else it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from consumer.host.periodic import Rounds
from consumer.host.runtime import HostedListener
from listeners.models import Position

RENEW_SECONDS = 3.0


def lease_keeper(hosted: Callable[[], Sequence[HostedListener]]) -> Rounds:
    """While one listener is drained, the others keep their leases, and it keeps its own.

    `hosted` is called from the keeper's thread.
    """

    def renew() -> None:
        by_lease = {one.lease: one for one in hosted()}
        for lease in Position.objects.renew(list(by_lease)):
            by_lease[lease].lease_is_lost = True

    return Rounds("leases", renew, RENEW_SECONDS)
