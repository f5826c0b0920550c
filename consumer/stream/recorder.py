"""The recording thread of a listener: batch → ingest → publisher."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

import structlog
from django.conf import settings
from django.db import IntegrityError, InternalError, connection

from audit.db.errors import TRANSIENT
from audit.db.retry import retry
from consumer.ingest.position import CommitsLost, note_unrecorded
from consumer.ingest.transaction import Message, Moment, ingest, move
from consumer.stream import metrics
from consumer.stream.buffer import Buffer, Received
from consumer.stream.publisher import Publisher
from listeners.leases import Lease, LeaseLost
from listeners.models import Listener, Position

Result = TypeVar("Result")

log = structlog.get_logger(__name__)

#: So many messages at once come fast.
LARGE = 10
#: A batch that is not committed for so long is stuck: a lock is waited for, or the database hangs.
STUCK_SECONDS = 10.0
#: Without a message for so long, the connection to the database is given back.
IDLE_SECONDS = 10.0


class GivenUp(Exception):
    """The database did not answer until the listener had to leave."""


class Recorder:
    """Records what the buffer gives until it is closed and empty, or the lease is lost.

    A database that does not answer is waited for: the batch stays here, the position where it is.
    """

    def __init__(
        self,
        listener: Listener,
        lease: Lease,
        buffer: Buffer,
        publisher: Publisher,
        tell: Callable[[str], None] = lambda replay_id: None,
    ) -> None:
        """`tell` takes each position once it is committed."""
        self.recorded = 0
        self._tell = tell
        self._listener = listener
        self._lease = lease
        self._buffer = buffer
        self._publisher = publisher
        self._abandon = threading.Event()
        self._took = 0.0
        self._began_at: float | None = None
        self._may_be_known = True  # what a crash left behind it
        self._thread = threading.Thread(
            target=self._run, name=f"record {listener.name}", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def abandon(self) -> None:
        """Stop waiting for the database; the batch at hand comes again after a restart."""
        self._abandon.set()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def blocked_for(self) -> float:
        """Seconds since the batch at hand was begun, which is not committed yet; 0 without one."""
        began = self._began_at
        return 0.0 if began is None else time.monotonic() - began

    @property
    def is_stuck(self) -> bool:
        return self.blocked_for >= STUCK_SECONDS

    def _run(self) -> None:
        try:
            while batch := self._next():
                self._began_at = began = time.monotonic()
                if messages := [one for one in batch if isinstance(one, Message)]:
                    self._record(messages)
                if isinstance(batch[-1], Moment):
                    self._move(batch[-1])
                self._began_at = None
                self._buffer.done(len(batch))
                self._took = time.monotonic() - began if len(batch) >= LARGE else 0.0
        except LeaseLost:
            log.info("recording ended without its lease", listener=self._listener.name)
        except GivenUp:
            log.warning("not recorded; it comes again", listener=self._listener.name)
        except CommitsLost:
            self._disown()
            log.error(
                "the position is not where it was left; what comes after it comes again",
                listener=self._listener.name,
                remedy="if the database lost commits: commit synchronously, to a standby too",
            )
        finally:
            self._buffer.discard()
            connection.close()

    def _next(self) -> list[Received]:
        """Where a batch was large it is worth waiting for more, for as long as it took; a change
        that comes alone is recorded at once."""
        if not self._buffer.wait(IDLE_SECONDS):
            connection.close()  # many listeners are quiet, and a server takes few connections
        wait = min(settings.CDC_BATCH_WAIT_MS / 1000, self._took)
        return self._buffer.take(settings.CDC_BATCH_MAX, wait)

    def _record(self, batch: Sequence[Message]) -> None:
        follows = self._buffer.follows
        write = partial(ingest, self._listener, self._lease, batch, follows=follows)
        result = self._commit(
            lambda: write(meanwhile=self._decode_next, may_be_known=self._may_be_known)
        )
        self._may_be_known = bool(result.repeated)
        if result.replay_id:
            self._buffer.follows = result.replay_id
            self._tell(result.replay_id)
        metrics.recorded(self._listener.name, result, batch)
        reads_of = self._listener.pk if result.reads else None
        self._publisher.publish(result.parcel, reads_of=reads_of)
        self.recorded += result.entries

    def _decode_next(self) -> None:
        """What the next batch begins with. What cannot be decoded is met again then."""
        left = most = settings.CDC_BATCH_MAX
        with suppress(Exception):
            for one in self._buffer.next(most):
                left -= one.decode_ahead() if isinstance(one, Message) else 0
                if left <= 0:  # one message may be of thousands of records
                    break

    def _move(self, moment: Moment) -> None:
        follows = self._buffer.follows
        self._commit(lambda: move(self._lease, moment, follows))
        self._buffer.follows = moment.replay_id
        self._tell(moment.replay_id)

    def _commit(self, write: Callable[[], Result]) -> Result:
        """Return what `write` returns, once the database takes it. Raises GivenUp.

        An IntegrityError means that a row which the batch names was deleted by hand: the next try
        names those that are left.
        """
        also = (InternalError, IntegrityError)
        return retry(write, "record", also=also, limit=math.inf, wait=self._wait)

    def _wait(self, seconds: float) -> None:
        self._note_unrecorded()
        if self._abandon.wait(seconds):
            raise GivenUp

    def _note_unrecorded(self) -> None:
        """For the incident, which others open. The lease stays: elsewhere the same would happen."""
        if self.is_stuck:
            with suppress(*TRANSIENT):
                note_unrecorded(self._lease, self.blocked_for, renew=True)

    def _disown(self) -> None:
        """A managed subscription does not go back to where the position is now."""
        with suppress(*TRANSIENT):
            Position.objects.held(self._lease).update(subscription="")
