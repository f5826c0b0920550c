"""What the modules on a delivery's way hand each other: message, claim, run and its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from handlers.models import Delivery
from handlers.models.chain_heads import Follower
from handlers.sdk.events import Present
from handlers.sdk.outcomes import Failed, Outcome, Skipped, Succeeded

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

#: Where deliveries belong in the traces of their changes, by their ids.
Places = dict[int, "SpanContext"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message for a worker. Its id names the deliveries and the attempt they are for.

    `headers`: beside Celery's own, for who reads them elsewhere. `places`: in the traces of those
    that are sampled, where that is known. `is_external`: for workers of another project, whose
    queue it is.
    """

    ids: Sequence[int]
    attempts: int
    task: str
    queue: str
    kwargs: dict[str, Any]
    headers: dict[str, str] | None = None
    places: Places | None = None
    is_external: bool = False

    @property
    def task_id(self) -> str:
        if len(self.ids) == 1:
            return f"delivery-{self.ids[0]}-{self.attempts + 1}"
        return f"deliveries-{self.ids[0]}-{self.ids[-1]}-{len(self.ids)}-{self.attempts + 1}"

    @property
    def shown(self) -> str:
        """Of its arguments, for the workers' logs."""
        return repr(self.kwargs) if len(self.ids) == 1 else f"{len(self.ids)} deliveries"


@dataclass(frozen=True, slots=True)
class Running:
    """A claim that the heartbeat renews."""

    delivery_id: int
    attempt: int
    started_at: datetime


class ClaimLost(Exception):
    """Another worker was given this delivery; what this one did is rolled back or not counted."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to run one attempt of one delivery, until its deadline.

    `overtaken`: where later changes of its record have overtaken it, what its handler gets, or how
    the attempt ends without it.
    """

    delivery: Delivery
    attempt: int
    started_at: datetime
    overtaken: Present | Skipped | Failed | None = None

    @property
    def counted(self) -> int:
        """The attempts that count against the limit: those since it was last redelivered."""
        return self.attempt - self.delivery.attempts_before

    @property
    def running(self) -> Running:
        return Running(self.delivery.pk, self.attempt, self.started_at)


#: What a handler is called with at once: one delivery, or several where it takes many.
Unit = Sequence[Claim]


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended and is not written down yet."""

    claim: Claim
    outcome: Outcome
    started_at: datetime
    finished_at: datetime

    @property
    def name(self) -> str:
        return type(self.outcome).__name__.lower()

    @property
    def kind(self) -> str:
        """How it ended: succeeded, skipped, failed, retry (the handler asked for it) or lost."""
        return self.outcome.kind if isinstance(self.outcome, Failed) else self.name

    @property
    def state(self) -> str | None:
        """The delivery's state after it. None: it is tried again."""
        match self.outcome:
            case Succeeded():
                return Delivery.State.SUCCEEDED.value
            case Skipped():
                return Delivery.State.SKIPPED.value
            case Failed():
                is_last = self.claim.counted >= self.claim.delivery.allowed_attempts
                return Delivery.State.DEAD.value if is_last else None


@dataclass(frozen=True, slots=True)
class Run:
    """What a unit came to. `following`: the next of their chains, where it is settled already;
    `left`: what was given back."""

    ended: Sequence[Ended]
    following: Sequence[Follower] | None = None
    left: Sequence[int] = ()
