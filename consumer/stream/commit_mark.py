"""The durable mark that Salesforce keeps a position of a managed subscription for the listener.

Without it, the next session does not begin after what was recorded, but where the subscription is
set up to begin: `start_position` then reports a lost position.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db.models import QuerySet

from listeners.leases import Lease
from listeners.models import Position
from listeners.salesforce.errors import PositionDeleted
from listeners.salesforce.protocol import EventStream


class CommitMark:
    """Sets and clears `Position.subscription`. For any thread; never inside a transaction."""

    def __init__(self, lease: Lease, stream: EventStream, subscription: str) -> None:
        self._lease = lease
        self._stream = stream
        self._subscription = subscription
        self._guard = threading.Lock()
        self._wanted: str | None = None  # None: as it is
        self._written: str | None = None
        self._is_lost = False  # since the last session was opened

    def sync(self) -> None:
        """Set the mark once Salesforce has accepted a commit, or clear it where `clear` failed."""
        with self._guard:
            if self._stream.has_committed and not self._is_lost:
                self._wanted = self._subscription
            if self._wanted is not None and self._wanted != self._written:
                self._positions().update(subscription=self._wanted)
                self._written = self._wanted

    def clear(self) -> None:
        """Clear the mark: the next session does not begin after what was recorded.

        Without the lease, only if the database has lost it together with other commits.
        """
        with self._guard:
            self._is_lost, self._wanted = True, ""
        self.sync()

    def opened(self) -> None:
        """Note that a session was opened, after `sync`: its accepted commits set the mark, also
        after a recorded loss has cleared it.

        Not if the database did not take a `clear` of another thread since: `sync` repeats it.
        """
        with self._guard:
            if self._wanted != "" or self._written == "":
                self._is_lost, self._wanted, self._written = False, None, None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Clear the mark if Salesforce says in the `with` block that it deleted the position."""
        try:
            yield
        except PositionDeleted:
            self.clear()
            raise

    def _positions(self) -> QuerySet[Position]:
        """Return the lease's position, to write the wanted mark to.

        To clear the mark, it may also have a lower epoch. The epoch only grows: then the database
        has lost the lease and later commits, and Salesforce may have accepted a later position.
        """
        positions = Position.objects.held(self._lease)
        if not self._wanted:
            mine = Position.objects.filter(listener_id=self._lease.listener_id)
            positions |= mine.filter(epoch__lt=self._lease.epoch)
        return positions
