"""The progress of a comparison, which is stored so that another process can continue it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from consumer.reconciliation.backfill import PartResult
from consumer.reconciliation.deletions import LookedUp
from consumer.reconciliation.judge import Fields, Verdict
from consumer.reconciliation.salesforce_rows import Row

#: The value of `looked_up_to` at the log's end.
END = -1
_NUMBERS = ("compared", "missing", "in_part", "looked_up", "looked_up_again", "gone", "deleted")
#: The fields of the progress: sets of entities, reasons by entity, and those stored as they are.
_SETS, _REASONS = ("done", "filtered", "unfiltered"), ("refused", "left_out", "doubts")
_PLAIN = ("entity", "stamp", "counted", "looked_up_to", "gone_again")


@dataclass(slots=True)
class Figures:
    """Numbers of records, and the fields that differed or could not be compared.

    `missing` and `in_part` are among the compared records; `gone` (neither existing nor in the
    Recycle Bin) and `deleted` (deletions that the log lacked) among the records looked up by id.
    """

    compared: int = 0
    missing: int = 0
    in_part: int = 0
    looked_up: int = 0
    looked_up_again: int = 0
    gone: int = 0
    deleted: int = 0
    fields: Fields = field(default_factory=Fields)

    @property
    def steps(self) -> int:
        """The number of steps done; it grows with each page."""
        return self.compared + self.looked_up + self.looked_up_again

    @property
    def present(self) -> int:
        """The number of records that the log has completely."""
        return self.compared - self.missing - self.in_part

    def add(self, other: Figures) -> None:
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.fields.add(other.fields)

    def as_json(self) -> dict[str, Any]:
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        return {**numbers, "fields": self.fields.as_json()}

    @classmethod
    def of_json(cls, found: Mapping[str, Any]) -> Figures:
        return cls(**{**found, "fields": Fields.of_json(found["fields"])})


@dataclass(slots=True)
class Progress:
    """The progress by entity, and within the current entity.

    Of the current entity, every record changed before `stamp` was compared, and `counted` records
    changed in that second were counted; the latter are compared again, and not counted again. Then
    the log's records are looked up: those of entries up to `looked_up_to` are done. A second pass
    records those that are gone; `gone_again` is the number it has found. `unread`: how many records
    Salesforce refused to return, and its message for one of them.

    `doubts`: why it is not known whether the channel carries or filters an entity that is compared.
    `unfiltered`: entities that an operator lets be compared although the channel filters them.
    """

    figures: dict[str, Figures] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    #: Entities that Salesforce refused to query or read, with its message.
    refused: dict[str, str] = field(default_factory=dict)
    #: Those of the refused ones that the channel filters: another attempt would not help.
    filtered: set[str] = field(default_factory=set)
    #: Entities that the channel does not carry, with the reason why they are not compared.
    left_out: dict[str, str] = field(default_factory=dict)
    doubts: dict[str, str] = field(default_factory=dict)
    unfiltered: set[str] = field(default_factory=set)
    entity: str = ""
    stamp: int | None = None
    counted: int = 0
    looked_up_to: int | None = None
    gone_again: int | None = None
    unread: tuple[int, str] = (0, "")
    #: The number of entities and the compared times (ms), from which `share` is calculated.
    entities: int = 0
    since: int | None = None
    until: int | None = None
    _known: int = 0

    @classmethod
    def of(cls, cursor: dict[str, Any]) -> Progress:
        """Return the progress that `cursor` stored; that of a new comparison if it is empty."""
        if not cursor:
            return cls()
        stored: dict[str, Any] = {
            **{name: cursor[name] for name in _PLAIN},
            **{name: set(cursor[name]) for name in _SETS},
            **{name: dict(cursor[name]) for name in _REASONS},
        }
        return cls(
            figures={name: Figures.of_json(found) for name, found in cursor["figures"].items()},
            unread=tuple(cursor["unread"]),
            **stored,
        )

    def cursor(self) -> dict[str, Any]:
        """Return the progress as JSON."""
        return {
            "figures": {name: figures.as_json() for name, figures in self.figures.items()},
            "unread": self.unread,
            **{name: sorted(getattr(self, name)) for name in _SETS},
            **{name: getattr(self, name) for name in _REASONS},
            **{name: getattr(self, name) for name in _PLAIN},
            "counted": self.counted + self._known,
        }

    @property
    def total(self) -> Figures:
        total = Figures()
        for figures in self.figures.values():
            total.add(figures)
        return total

    @property
    def refusals(self) -> list[str]:
        """The entities that could not be compared, each with the reason."""
        return [f"{entity}: {why}" for entity, why in sorted(self.refused.items())]

    @property
    def place(self) -> tuple[object, ...]:
        """The place from which another process would continue."""
        return len(self.done), len(self.refused), self.stamp, self.looked_up_to, self.gone_again

    @property
    def share(self) -> float:
        """The estimated share of the comparison that is done, 0 to 1. Within an entity it goes by
        time, since rows come in that order."""
        if not self.entities:
            return 0.0
        ended = len(self.done | self.refused.keys() | self.left_out.keys())
        return min((ended + self._share_of_current()) / self.entities, 1.0)

    def _share_of_current(self) -> float:
        if self.stamp is None or self.since is None or self.until is None:
            return 0.0
        span = self.until - self.since
        return min(max((self.stamp - self.since) / span, 0.0), 1.0) if span > 0 else 0.0

    def is_ended(self, entity: str) -> bool:
        """Return whether this attempt has nothing more to do for an entity."""
        return entity in self.done or entity in self.refused or entity in self.left_out

    def is_begun_in_doubt(self, entity: str) -> bool:
        """Return whether this attempt continues an entity that the channel may carry or not."""
        return entity == self.entity and entity in self.doubts

    def begin(self, entity: str) -> None:
        """Begin an entity, or continue it where it was left."""
        if self.entity != entity:
            self._leave()
            self.entity, self.figures[entity] = entity, Figures()
        self._known, self.counted = self.counted, 0

    def advance(self, page: Sequence[Row], found: PartResult) -> None:
        """Add a page of compared records."""
        figures = self.figures[self.entity]
        figures.missing += found.missing
        figures.fields.add(found.judgement.fields)
        if found.refused:
            count, why = self.unread
            self.unread = count + len(found.refused), why or next(iter(found.refused.values()))
        for row in page:
            if row.stamp == self.stamp:
                self.counted += 1
            else:
                self.stamp, self.counted, self._known = row.stamp, 1, 0
            if self._known:
                self._known -= 1
            else:
                figures.compared += 1
                figures.in_part += found.judgement.verdicts.get(row.record_id) is Verdict.IN_PART

    def begin_look_up(self) -> None:
        """Begin to look up the log's records, once all records of the window are compared."""
        self.looked_up_to = 0

    def look_up(self, found: LookedUp) -> None:
        """Add a slice of looked-up records."""
        figures = self.figures[self.entity]
        if self.gone_again is None:
            figures.looked_up += found.records
            figures.gone += found.gone
        else:
            figures.looked_up_again += found.records
            self.gone_again += found.gone
        figures.deleted += found.deleted
        self.looked_up_to = END if found.go_on_behind is None else found.go_on_behind

    def look_up_again(self) -> None:
        """Begin the second pass, which records the records that are gone."""
        self.looked_up_to, self.gone_again = 0, 0

    @property
    def counted_gone(self) -> LookedUp | None:
        """The gone records that the second pass has found so far; None before the second pass."""
        if self.gone_again is None:
            return None
        return LookedUp(self.figures[self.entity].looked_up, self.gone_again)

    @property
    def is_looked_up(self) -> bool:
        return self.looked_up_to == END

    def refuse(self, entity: str, why: str) -> None:
        """End an entity that cannot be compared."""
        self.refused[entity] = why
        self._leave()

    def refuse_filtered(self, entity: str, why: str) -> None:
        """Do not begin an entity that the channel filters."""
        self.refused[entity] = why
        self.filtered.add(entity)

    def ignore_filter(self, entity: str) -> None:
        """Let an entity be compared although the channel filters it."""
        self.unfiltered.add(entity)
        if entity in self.filtered:
            self.filtered.discard(entity)
            self.refused.pop(entity, None)

    def leave_out(self, entity: str, why: str) -> None:
        """Do not begin an entity that the channel does not carry."""
        self.left_out[entity] = why

    def retry_refused(self) -> None:
        """Let the next attempt compare the refused entities: the cause may be fixed by then."""
        self.refused, self.filtered = {}, set()
        self.read_members_again()

    def read_members_again(self) -> None:
        """Let the next attempt ask again what the channel carries: it may have changed."""
        self.left_out = {}
        self.doubts.pop(self.entity, None)

    @property
    def needs_decision(self) -> bool:
        """Return whether only an operator can bring the comparison further."""
        return bool(self.refused) and self.refused.keys() <= self.filtered

    def end(self, entity: str) -> None:
        """End an entity: it is done, or refused if records could not be read."""
        count, why = self.unread
        if count:
            self.refuse(entity, f"{count:,} records could not be read: {why}")
            return
        self.done.add(entity)
        self._leave()

    def _leave(self) -> None:
        self.entity, self.stamp, self.counted = "", None, 0
        self.looked_up_to, self.gone_again, self.unread = None, None, (0, "")
