"""Deliveries that show a target the same record, and their progress."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from handlers.models import Delivery, HandlerMapping
from handlers.routing.router import views
from handlers.superseded.timeline import Timeline

State = Delivery.State
_NOT_PUBLISHED_OR_BEGUN = (State.BLOCKED, State.READY, State.QUEUED)
COLUMNS = ("pk", "entry_id", "mapping_id", "handler", "state", "attempts")


@dataclass(frozen=True, slots=True)
class Row:
    """The columns of a delivery that tell its progress."""

    pk: int
    entry_id: int
    mapping_id: int | None
    handler: str
    state: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Turns:
    """The order of deliveries that are about to run, one after the other, by id.

    Their `attempts` include the attempt that is about to run, except for external tasks.
    """

    order: Mapping[int, int]

    @classmethod
    def of(cls, deliveries: Sequence[Delivery]) -> Turns:
        return cls({delivery.pk: place for place, delivery in enumerate(deliveries)})

    def has_begun(self, row: Row, current: Delivery) -> bool:
        """Return whether an attempt of a delivery has begun by the time `current` runs."""
        if row.pk in self.order:
            is_earlier = self.order[row.pk] < self.order[current.pk]
            return is_earlier or row.attempts > 1
        return row.attempts > 0 or row.state == State.SENT

    def awaits_first_attempt(self, row: Row, current: Delivery) -> bool:
        if row.pk in self.order:
            return not self.has_begun(row, current)
        return row.attempts == 0 and row.state in _NOT_PUBLISHED_OR_BEGUN


class Views:
    """The views of a listener's mappings."""

    def __init__(self, mappings: Collection[HandlerMapping]) -> None:
        self._mappings = {mapping.pk: mapping for mapping in mappings}
        self._views = views(mappings)

    def others(self, delivery: Delivery, rows: Iterable[Row]) -> list[Row]:
        """Return the other rows in a delivery's view.

        Deliveries of a deleted mapping belong to the views of mappings with the same handler.
        """
        ids = self._views.get(delivery.mapping_id or 0, frozenset())
        names = {self._target(pk) for pk in ids}
        return [
            row
            for row in rows
            if row.pk != delivery.pk
            and (
                row.mapping_id in ids
                or (row.mapping_id not in self._mappings and row.handler in names)
            )
        ]

    def _target(self, mapping_id: int) -> str:
        mapping = self._mappings[mapping_id]
        return mapping.handler or mapping.task


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a view relative to one of its deliveries.

    is_ahead   whether a later change has begun
    end        the index on the record's timeline of the first change after all that have begun: it
               and the changes after it arrive in order. None: there is no such change
    """

    is_ahead: bool
    end: int | None

    @classmethod
    def of(
        cls, delivery: Delivery, others: Iterable[Row], turns: Turns, timeline: Timeline
    ) -> Progress:
        own = timeline.index(delivery.entry_id)
        if own is None:
            raise ValueError(
                f"entry {delivery.entry_id} is missing from the timeline of its record"
            )
        last, waiting = own, []
        for row in others:
            index = timeline.index(row.entry_id)
            if index is None or index <= own:
                continue
            if turns.has_begun(row, delivery):
                last = max(last, index)
            elif turns.awaits_first_attempt(row, delivery):
                waiting.append(index)
        return cls(last > own, min((index for index in waiting if index > last), default=None))
