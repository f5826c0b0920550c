"""Opens the session of a listener's stream from the stored position, and stores where it began."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connection
from django.utils import timezone

from consumer.stream import replay_lost
from consumer.stream.buffer import Buffer
from consumer.stream.commit_mark import CommitMark
from consumer.stream.start_position import Beginning, beginning_of
from listeners.leases import Lease, LeaseLost
from listeners.models import Listener, Position
from listeners.salesforce.errors import ReplayLost
from listeners.salesforce.protocol import EventStream, Messages


class Session:
    """The current session of a stream. For the receiving thread, except for `mark`."""

    def __init__(
        self, listener: Listener, lease: Lease, stream: EventStream, buffer: Buffer
    ) -> None:
        self.mark = CommitMark(lease, stream, listener.subscription)
        #: See `Beginning.listening_since`.
        self.listening_since: datetime | None = None
        self._listener = listener
        self._lease = lease
        self._stream = stream
        self._buffer = buffer
        self._lost: ReplayLost | None = None  # to be recorded with the first message
        self._tip_since: datetime | None = None
        self._unstored_org_id: str | None = None

    @property
    def stops_when_lost(self) -> bool:
        return self._listener.on_replay_lost == Listener.ReplayLost.STOP

    def open(self, org_id: str | None) -> str:
        """Subscribe from the stored position, up to which everything is recorded; return where the
        session begins. Raises SalesforceError."""
        self.mark.sync()
        position = Position.objects.get(listener=self._listener)
        self._buffer.begin(position.replay_id)
        begins = self._beginning(position, org_id)
        self.listening_since = begins.listening_since
        connection.close()
        with self.mark.watched():
            self._stream.open(begins.replay)
        self.mark.opened()
        if begins.replay == "-1" and not self._listener.subscription:
            self._tip_since = self._stream.server_time or timezone.now()
        self._unstored_org_id = org_id or position.org_id
        return self._listener.subscription or begins.replay

    def _beginning(self, position: Position, org_id: str | None) -> Beginning:
        """Return where the session begins. Raises ReplayLost.

        A managed subscription also begins after a loss, but the window of the loss grows until
        Salesforce has accepted the session.
        """
        self._lost = None
        try:
            return beginning_of(self._listener, position, org_id, timezone.now())
        except ReplayLost as lost:
            if not self._listener.subscription or self.stops_when_lost:
                raise
            self._lost = lost.with_traceback(None)
            return Beginning(position.replay_id or self._listener.first_replay)

    def store_beginning(self) -> None:
        """Write org, channel and beginning of a new session to the position, before anything is
        received."""
        if self._unstored_org_id is None:
            return
        changes: dict[str, Any] = {
            "org_id": self._unstored_org_id,
            "channel": self._listener.channel,
        }
        # The events of the newest id come again. A loss that is not recorded yet still needs that
        # id for its incident (`replay_lost`).
        if self._lost is None:
            changes["newest_id"] = ""
        if self._lost is not None or not self._listener.subscription:
            changes["subscription"] = ""  # Salesforce keeps no position that follows the stored one
        if self._tip_since is not None:
            changes["tip_since"] = self._tip_since
        if not Position.objects.held(self._lease).update(**changes):
            raise LeaseLost
        self._unstored_org_id = self._tip_since = None

    def poll(self) -> Messages:
        """Return the next messages. Raises SalesforceError.

        The first answer of a session proves that Salesforce accepted it. Then a loss that preceded
        the session is recorded.
        """
        with self.mark.watched():
            messages = self._stream.poll()
        if self._lost is not None:
            self._record_lost(self._lost)
        return messages

    def _record_lost(self, lost: ReplayLost) -> None:
        try:
            position = replay_lost.record(self._listener, self._lease, lost, timezone.now())
        except BaseException:
            self._stream.forget()  # these messages come again, or are part of a larger loss
            raise
        self._buffer.begin(position)
        self._lost = None
