"""How far a comparison is, in a form that outlives its process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from consumer.reconciliation.rows import Row


@dataclass(slots=True)
class Figures:
    compared: int = 0
    missing: int = 0

    @property
    def present(self) -> int:
        return self.compared - self.missing


@dataclass(slots=True)
class Progress:
    """By entity, and within the one at hand.

    Of that one every record changed before `stamp` was compared, and of those changed in that
    second so many were counted. They are compared again, which adds nothing, and not counted.
    """

    figures: dict[str, Figures] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    #: Entities that Salesforce does not let be queried or read, with its words.
    refused: dict[str, str] = field(default_factory=dict)
    entity: str = ""
    stamp: int | None = None
    counted: int = 0
    #: What `share` goes by: the number of entities, and the times that are compared.
    entities: int = 0
    since: int | None = None
    until: int | None = None
    _known: int = 0

    @classmethod
    def of(cls, cursor: dict[str, Any]) -> Progress:
        return cls(
            {name: Figures(*numbers) for name, numbers in cursor.get("figures", {}).items()},
            set(cursor.get("done", ())),
            dict(cursor.get("refused", {})),
            cursor.get("entity", ""),
            cursor.get("stamp"),
            cursor.get("counted", 0),
        )

    def cursor(self) -> dict[str, Any]:
        figures = {name: [one.compared, one.missing] for name, one in self.figures.items()}
        return {
            "figures": figures,
            "done": sorted(self.done),
            "refused": self.refused,
            "entity": self.entity,
            "stamp": self.stamp,
            "counted": self.counted,
        }

    @property
    def total(self) -> Figures:
        of_all = self.figures.values()
        return Figures(sum(one.compared for one in of_all), sum(one.missing for one in of_all))

    @property
    def share(self) -> float:
        """Of the whole, about. Within an entity by time, where its beginning is known: rows come in
        that order."""
        if not self.entities:
            return 0.0
        over = len(self.done | self.refused.keys())
        return min((over + self._share_of_this()) / self.entities, 1.0)

    def _share_of_this(self) -> float:
        if self.stamp is None or self.since is None or self.until is None:
            return 0.0
        span = self.until - self.since
        return min(max((self.stamp - self.since) / span, 0.0), 1.0) if span > 0 else 0.0

    def begin(self, entity: str) -> None:
        """Go on with an entity where it was left, or begin it."""
        if self.entity != entity:
            self.entity, self.stamp, self.counted = entity, None, 0
            self.figures[entity] = Figures()
        self._known, self.counted = self.counted, 0

    def advance(self, page: Sequence[Row], missing: int) -> None:
        figures = self.figures[self.entity]
        figures.missing += missing
        for row in page:
            if row.stamp == self.stamp:
                self.counted += 1
            else:
                self.stamp, self.counted, self._known = row.stamp, 1, 0
            if self._known:
                self._known -= 1
            else:
                figures.compared += 1

    def refuse(self, entity: str, why: str) -> None:
        self.refused[entity] = why
        self.entity, self.stamp, self.counted = "", None, 0

    def end(self, entity: str) -> None:
        self.done.add(entity)
        self.entity, self.stamp, self.counted = "", None, 0
