"""Renews the leases of a process's listeners, in a separate thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from consumer.host.periodic import PeriodicThread
from consumer.host.runtime import HostedListener
from listeners.models import Position

RENEW_SECONDS = 3.0


def lease_keeper(hosted: Callable[[], Sequence[HostedListener]]) -> PeriodicThread:
    """Return the thread that renews the leases of hosted listeners, also of those being drained.

    `hosted` is called from that thread.
    """

    def renew() -> None:
        by_lease = {listener.lease: listener for listener in hosted()}
        for lease in Position.objects.renew(list(by_lease)):
            by_lease[lease].lease_is_lost = True

    return PeriodicThread("leases", renew, RENEW_SECONDS)
