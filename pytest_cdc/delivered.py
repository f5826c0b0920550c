"""What became of a change for one handler, as it is at the moment of asking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import QuerySet
from django.utils import timezone

from audit.actions import Actor, Through
from handlers import redeliver, registry
from handlers.events import EventData
from handlers.models import Delivery, DeliveryAttempt, HandlerMapping
from handlers.redelivery import Wish

if TYPE_CHECKING:
    from pytest_cdc.deliver import Deliver

State = Delivery.State
_BY = Actor("pytest-cdc", Through.COMMAND)


class NothingToDo(Exception):
    """There is no next attempt to be had; the message says why, and what there is instead."""


class Delivered:
    """One change for one handler: its state, attempts and error are looked up when they are asked
    for, so that they are right after a later attempt too."""

    def __init__(
        self, deliver: Deliver, event: EventData, mapping: HandlerMapping, pk: int | None, miss: str
    ) -> None:
        self._deliver = deliver
        self._pk = pk
        #: As it was given; the handler gets it with the number of its attempt and the options.
        self.event = event
        self.mapping = mapping
        #: Why the mapping does not get the change: then there is no delivery. Empty: it does.
        self.missed = miss if pk is None else ""

    # Queries

    @property
    def delivery(self) -> Delivery:
        """The row. Raises NothingToDo where the mapping does not get the change."""
        if self._pk is None:
            raise NothingToDo(f"{self.mapping} does not get it: {self.missed}.")
        found: Delivery = Delivery.objects.select_related("mapping", "entry").get(pk=self._pk)
        return found

    @property
    def state(self) -> str:
        """One of `Delivery.State`, such as succeeded; empty where the mapping does not get it."""
        return "" if self._pk is None else str(State(self.delivery.state))

    @property
    def succeeded(self) -> bool:
        return self.state == State.SUCCEEDED

    @property
    def skipped(self) -> bool:
        """The handler returned `Skipped`, or the mapping left it out for who wrote it; `reason`
        says why."""
        return self.state == State.SKIPPED

    @property
    def retrying(self) -> bool:
        """It failed, and waits for its next attempt; `delay` says how long."""
        return self.state == State.RETRYING

    @property
    def dead(self) -> bool:
        """It failed in its last attempt."""
        return self.state == State.DEAD

    @property
    def blocked(self) -> bool:
        """It waits until a change of the same record before it has ended."""
        return self.state == State.BLOCKED

    @property
    def reason(self) -> str:
        """Why it was skipped, or missed."""
        return self.missed or (self.delivery.error if self.skipped else "")

    @property
    def error(self) -> str:
        """The error of the last attempt as it is kept, `ValueError: no such account`; or empty."""
        return "" if self._pk is None or self.skipped else self.delivery.error

    @property
    def traceback(self) -> str:
        """Of the last attempt, where that failed."""
        last = self.attempts.last() if self._pk else None
        return last.traceback if last else ""

    @property
    def attempts(self) -> QuerySet[DeliveryAttempt]:
        """The journal, the first attempt first: `number`, `outcome` (succeeded, skipped, failed,
        retry), `error`, `traceback`, `started_at`, `finished_at`."""
        return DeliveryAttempt.objects.filter(delivery=self._pk).order_by("number")

    @property
    def outcomes(self) -> list[str]:
        """Of its attempts, the first first: `["failed", "succeeded"]`."""
        return [str(one) for one in self.attempts.values_list("outcome", flat=True)]

    @property
    def delay(self) -> float | None:
        """Seconds until the next attempt, by the clock of `Deliver.after`; None where none is
        waited for. Of the usual back-off it is random."""
        return delay_of(self.delivery) if self.retrying else None

    # Mutators

    def again(self) -> Delivered:
        """Have the next attempt, as if its time had come. Raises NothingToDo, also where it can't
        begin."""
        if not self.retrying:
            raise NothingToDo(
                f"{self}: there is no next attempt. redeliver() sends it once more, as an operator "
                "does."
            )
        before = self.delivery
        self._deliver.attempt([before.pk])
        if self.delivery.attempts == before.attempts:
            raise NothingToDo(f"{self}: its mapping is paused, or nobody registers its handler.")
        return self

    def until_ended(self) -> Delivered:
        """Have attempts until it succeeds, is skipped or dead. Raises NothingToDo as `again`."""
        while self.retrying:
            self.again()
        return self

    def redeliver(self) -> Delivered:
        """Send it once more, whatever became of it, as an operator does: the same event with the
        same id. Raises NothingToDo where it has not ended."""
        if self.state not in (State.SUCCEEDED, State.SKIPPED, State.DEAD, State.SENT):
            raise NothingToDo(f"{self}: it has not ended. again() has the next attempt.")
        deliveries = Delivery.objects.filter(pk=self.delivery.pk)
        redeliver.begin(Wish(_BY, deliveries), timezone.now())
        self._deliver.work()
        return self

    def __repr__(self) -> str:
        if self._pk is None:
            return f"<Delivered: not to {self.mapping}: {self.missed}>"
        delivery = self.delivery
        text = f"{delivery.handler}: {delivery.state}"
        if delivery.attempts:
            text += f" after attempt {delivery.attempts} of {delivery.allowed_attempts}"
        if self.retrying:
            text += f", next in {self.delay:g} s"
        return f"<Delivered {text}{': ' if delivery.error else ''}{delivery.error}>"


def delay_of(delivery: Delivery) -> float:
    """Seconds between the last attempt of one that is retrying and the next. Whole ones where many
    are settled together, a moment after their run."""
    last = DeliveryAttempt.objects.filter(delivery=delivery).order_by("number").last()
    if last is None or delivery.due_at is None:
        return 0.0
    seconds: float = (delivery.due_at - last.finished_at).total_seconds()
    handler = registry.find(delivery.handler)
    return round(seconds) if handler is not None and handler.batch else seconds
