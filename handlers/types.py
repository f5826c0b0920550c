"""Types shared by the modules that publish and run deliveries: message, claim, run and its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from handlers.models import Delivery
from handlers.models.chain_heads import Follower
from handlers.sdk.events import Present
from handlers.sdk.outcomes import Failed, Outcome, Skipped, Succeeded

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

#: The parent span of each delivery in the trace of its change, by delivery id.
Places = dict[int, "SpanContext"]


@dataclass(frozen=True, slots=True)
class Message:
    """One Celery message for a worker. Its task id names the deliveries and their attempt.

    headers      sent beside Celery's own, for consumers outside this project
    places       parent spans of the deliveries whose traces are sampled, where known
    is_external  the message goes to another project's workers, on their queue
    args         positional arguments, of external tasks
    options      further arguments of Celery's `as_task_v2`, of external tasks
    priority     of external tasks; None: the broker's default
    size         bytes of the arguments, of external tasks
    """

    ids: Sequence[int]
    attempts: int
    task: str
    queue: str
    kwargs: dict[str, Any]
    headers: dict[str, str] | None = None
    places: Places | None = None
    is_external: bool = False
    args: Sequence[Any] = ()
    options: dict[str, Any] = field(default_factory=dict)
    priority: int | None = None
    size: int = 0

    @property
    def task_id(self) -> str:
        if len(self.ids) == 1:
            return f"delivery-{self.ids[0]}-{self.attempts + 1}"
        return f"deliveries-{self.ids[0]}-{self.ids[-1]}-{len(self.ids)}-{self.attempts + 1}"


class ClaimLost(Exception):
    """Another worker has claimed this delivery; this worker's run is rolled back or not counted."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to run one attempt of one delivery, until its deadline.

    `overtaken` is set where later changes of the record have overtaken this one: the present
    values for the handler, or the outcome of an attempt that does not call the handler.
    """

    delivery: Delivery
    attempt: int
    started_at: datetime
    overtaken: Present | Skipped | Failed | None = field(default=None, compare=False)

    @property
    def counted(self) -> int:
        """The number of attempts since the last redelivery, which count against the limit."""
        return self.attempt - self.delivery.attempts_before


#: The claims that one call of a handler takes: one, or several for a batch handler.
Unit = Sequence[Claim]


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended and is not settled yet.

    `worker` is the one that ran an external task, if known; otherwise this machine.
    """

    claim: Claim
    outcome: Outcome
    started_at: datetime
    finished_at: datetime
    worker: str | None = None

    @property
    def name(self) -> str:
        return type(self.outcome).__name__.lower()

    @property
    def kind(self) -> str:
        """Return succeeded, skipped, failed, retry (the handler requested one), lost or unknown."""
        return self.outcome.kind if isinstance(self.outcome, Failed) else self.name

    @property
    def has_row(self) -> bool:
        """Return whether the attempt needs a row beside its delivery (`Delivery.all_attempts`)."""
        return self.claim.attempt > 1 or not isinstance(self.outcome, Succeeded)

    @property
    def is_last(self) -> bool:
        """Return whether no attempt follows if this one failed."""
        is_final = isinstance(self.outcome, Failed) and self.outcome.is_final
        return is_final or self.claim.counted >= self.claim.delivery.allowed_attempts

    @property
    def state(self) -> str | None:
        """The delivery's state after this run, or None if it will be retried."""
        match self.outcome:
            case Succeeded():
                return Delivery.State.SUCCEEDED.value
            case Skipped():
                return Delivery.State.SKIPPED.value
            case Failed():
                return Delivery.State.DEAD.value if self.is_last else None


@dataclass(frozen=True, slots=True)
class Run:
    """The result of running a unit.

    ended      the runs that ended
    following  the next deliveries of their chains, if the runs are settled already, else None
    left       ids of the deliveries that were given back
    """

    ended: Sequence[Ended]
    following: Sequence[Follower] | None = None
    left: Sequence[int] = ()
