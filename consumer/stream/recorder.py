"""The recording thread of a listener: batch → ingest → publisher."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import structlog
from django.conf import settings
from django.db import Error, IntegrityError, InternalError, connection

from audit.db.retry import TRANSIENT, retry
from audit.internal_errors import step
from consumer.ingest.position import CommitsLost, note_unrecorded
from consumer.ingest.transaction import KeepAlive, Message, ingest, move_to_keep_alive
from consumer.stream import metrics
from consumer.stream.buffer import Buffer, Received
from consumer.stream.publisher import Publisher
from listeners.backoff import Backoff
from listeners.leases import Lease, LeaseLost
from listeners.models import Listener
from listeners.threads import OVER, BackgroundThread

Result = TypeVar("Result")

log = structlog.get_logger(__name__)

#: A batch of so many messages means that messages come fast.
LARGE = 10
#: Seconds after which an uncommitted batch is stuck: it waits for a lock, or the database hangs.
STUCK_SECONDS = 10.0
#: Seconds without a message after which the database connection is closed.
IDLE_SECONDS = 10.0


class GivenUp(Exception):
    """The database did not answer before the listener had to stop."""


class Recorder:
    """Records the messages of a buffer until it is closed and empty, or the lease is lost.

    A batch that cannot be recorded is tried again, whatever the error; the position does not move.
    """

    def __init__(
        self,
        listener: Listener,
        lease: Lease,
        buffer: Buffer,
        publisher: Publisher,
        *,
        on_commit: Callable[[str], None] = lambda replay_id: None,
        on_commits_lost: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_commit` is called with each new position after its commit, `on_commits_lost` when the
        database lost commits, or the lease: it may have lost commits with it."""
        self.thread = BackgroundThread(
            step(
                f"record {listener.name}",
                self._record_next_or_end,
                f"Changes of {listener.name} are not recorded. They are received again later, "
                "within 72 hours.",
                backoff=Backoff(1.0, 10.0, jitter=0.5),
            ),
            finish=buffer.discard,
        )
        self.recorded = 0
        self._on_commit = on_commit
        self._on_commits_lost = on_commits_lost
        self._listener = listener
        self._lease = lease
        self._buffer = buffer
        self._publisher = publisher
        self._batch: list[Received] = []
        self._abandon = threading.Event()
        self._took = 0.0
        self._began_at: float | None = None
        self._expect_repeats = True  # the position may have been moved back

    def abandon(self) -> None:
        """Stop waiting for the database; the current batch comes again after a restart."""
        self._abandon.set()
        self.thread.stop()

    @property
    def blocked_for(self) -> float:
        """Seconds since the current, uncommitted batch began; 0 without one."""
        began = self._began_at
        return 0.0 if began is None else time.monotonic() - began

    @property
    def is_stuck(self) -> bool:
        return self.blocked_for >= STUCK_SECONDS

    def _record_next_or_end(self) -> object:
        try:
            return None if self._record_next() else OVER
        except LeaseLost:
            self._note_commits_lost()
            log.info("recording ended: the lease was lost", listener=self._listener.name)
        except GivenUp:
            log.warning(
                "batch not recorded; its changes will be received again",
                listener=self._listener.name,
            )
        except CommitsLost:
            self._note_commits_lost()
            log.error(
                "the position is not where it was left; later changes will be received again",
                listener=self._listener.name,
                remedy="if the database lost commits: commit synchronously, to a standby too",
            )
        except Exception:
            self._note_unrecorded()
            raise
        return OVER

    def _note_commits_lost(self) -> None:
        with suppress(*TRANSIENT):  # a managed subscription cannot go back to the position
            self._on_commits_lost()

    def _record_next(self) -> bool:
        """Record the next batch; return False if there is none, since the buffer is closed.

        The batch is not referenced afterwards: a quiet listener must not keep its last one in
        memory. After an error it is kept, and is the next one again.
        """
        batch = self._batch = self._batch or self._next()
        if not batch:
            return False
        began = time.monotonic()
        self._began_at = self._began_at or began
        if messages := [item for item in batch if isinstance(item, Message)]:
            self._record(messages)
        if isinstance(batch[-1], KeepAlive):
            self._move(batch[-1])
        self._batch, self._began_at = [], None
        self._buffer.done(len(batch))
        self._took = time.monotonic() - began if len(batch) >= LARGE else 0.0
        return True

    def _next(self) -> list[Received]:
        """Take the next batch. After a large batch, wait for more messages for as long as that
        batch took; a single change is recorded at once."""
        if not self._buffer.wait(IDLE_SECONDS):
            connection.close()  # many listeners are quiet, and a server allows few connections
        wait = min(settings.CDC_BATCH_WAIT_MS / 1000, self._took)
        return self._buffer.take(settings.CDC_BATCH_MAX, wait)

    def _record(self, batch: Sequence[Message]) -> None:
        expected_position = self._buffer.expected_position
        result = ingest(
            self._listener,
            self._lease,
            batch,
            expected_position=expected_position,
            while_writing=self._decode_next,
            expect_repeats=self._expect_repeats,
            commit=self._commit,
        )
        self._expect_repeats = bool(result.repeated)
        if result.position_token:
            self._buffer.expected_position = result.position_token
            self._buffer.is_held_back = result.position_token != result.replay_id
        if result.replay_id:
            self._on_commit(result.replay_id)
        metrics.recorded(self._listener.name, result, batch)
        read_records_of = self._listener.pk if result.reads_planned else None
        self._publisher.publish(result.to_publish, read_records_of=read_records_of)
        self.recorded += result.entries

    def _decode_next(self) -> None:
        """Decode the beginning of the next batch. An error is raised again when the batch is
        recorded."""
        left = most = settings.CDC_BATCH_MAX
        with suppress(Exception):
            for item in self._buffer.peek(most):
                left -= item.decode_early() if isinstance(item, Message) else 0
                if left <= 0:  # one message may hold thousands of records
                    break

    def _move(self, keep_alive: KeepAlive) -> None:
        expected_position = self._buffer.expected_position
        replay_id = self._commit(
            lambda: move_to_keep_alive(self._lease, keep_alive, expected_position)
        )
        self._buffer.expected_position = replay_id
        self._buffer.is_held_back = False
        self._on_commit(replay_id)

    def _commit(self, write: Callable[[], Result]) -> Result:
        """Call `write` until the database accepts it; return its result. Raises GivenUp.

        An IntegrityError means that a row to which the batch refers, such as a handler mapping, was
        deleted; the next attempt reads the rows that are left. An entry that is repeated raises
        none here (`audit.log.record`).
        """

        def write_or_note() -> Result:
            try:
                return write()
            except Error as error:
                if self.is_stuck:
                    self.thread.step.note_failure(error)
                raise

        also = (InternalError, IntegrityError)
        return retry(write_or_note, "record", also=also, limit=math.inf, wait=self._wait)

    def _wait(self, seconds: float) -> None:
        self._note_unrecorded()
        if self._abandon.wait(seconds):
            raise GivenUp

    def _note_unrecorded(self) -> None:
        """Note the outage for its incident, and renew the lease: another process would have the
        same problem."""
        if self.is_stuck:
            with suppress(Error):
                note_unrecorded(self._lease, self.blocked_for, renew=True)
