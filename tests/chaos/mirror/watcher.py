"""Polls the mirrored tables with SQL of its own, and keeps each state that it sees."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.mirror.copies import COPIES, Copy
from tests.chaos.mirror.database import Database, Errors, Row, listed, moment
from tests.chaos.mirror.history import Key

LOOK_SECONDS = 0.2
#: Rows of a table that are looked at beside the watched ones each time, in the order of the ids.
SCANNED = 2_000


@dataclass(frozen=True, slots=True)
class Seen:
    """A row at one time; without `row`, it did not exist."""

    look: int
    at: float
    row: Row | None


@dataclass(slots=True)
class Claim:
    """A time up to which a mirror was reported in sync before that look."""

    look: int
    entity: str
    as_of: float


@dataclass(slots=True)
class Sights:
    """The results of all looks: each state of watched records, and violations of others."""

    looks: int = 0
    rows: dict[Key, list[Seen]] = field(default_factory=lambda: defaultdict(list))
    claims: list[Claim] = field(default_factory=list)
    others: int = 0
    wrong: list[str] = field(default_factory=list)
    #: When a row that was marked as deleted was seen without the mark again.
    returned: dict[Key, list[float]] = field(default_factory=lambda: defaultdict(list))


class Watcher(threading.Thread):
    """Polls the tables. `watched` are the ids of records, by object, whose every state is kept."""

    def __init__(self, database: Database, watched: Mapping[str, list[str]]) -> None:
        super().__init__(name="watcher", daemon=True)
        self.sights = Sights()
        self.errors: list[str] = []
        self._database = database
        self._watched = {entity: list(ids) for entity, ids in watched.items()}
        self._others: dict[Key, Row] = {}
        self._after = dict.fromkeys(watched, "")
        self._said: list[tuple[str, float]] = []
        self._ended = threading.Event()

    def claim(self, entity: str, as_of: float) -> None:
        """Note that the object's mirror was reported in sync as of that time."""
        self._said.append((entity, as_of))

    def run(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            try:
                self._look()
            except Errors as error:
                self.errors.append(str(error).strip())

    def stop(self) -> Sights:
        self._ended.set()
        self.join()
        return self.sights

    def _look(self) -> None:
        said, self._said = self._said, []
        with self._database.connect() as connection:
            look, now = self.sights.looks + 1, time.time() * 1000
            for copy in COPIES:
                self._look_at_watched(connection, copy, look, now)
                self._scan(connection, copy, now)
        self.sights.looks = look
        self.sights.claims += [Claim(look, entity, as_of) for entity, as_of in said]

    def _look_at_watched(self, connection: Any, copy: Copy, look: int, now: float) -> None:
        columns = ", ".join(copy.columns[name][0] for name in copy.tracked)
        ids = self._watched[copy.entity]
        query = (
            f"SELECT salesforce_id, version, is_deleted, is_complete, {columns} "
            f"FROM {copy.table} WHERE salesforce_id IN ({listed(ids)})"
        )
        found = {row[0]: row[1:] for row in connection.execute(query).fetchall()}
        for record_id in ids:
            kept = self.sights.rows[copy.entity, record_id]
            row = found.get(record_id)
            if (kept[-1].row if kept else None) != row:
                kept.append(Seen(look, now, row))

    def _scan(self, connection: Any, copy: Copy, now: float) -> None:
        """Compare the next part of the table, and start again at its end."""
        query = (
            "SELECT salesforce_id, version, is_deleted, is_complete "
            f"FROM {copy.table} WHERE salesforce_id > '{self._after[copy.entity]}' "
            f"ORDER BY salesforce_id LIMIT {SCANNED}"
        )
        rows = connection.execute(query).fetchall()
        self._after[copy.entity] = rows[-1][0] if len(rows) == SCANNED else ""
        for record_id, *state in rows:
            self.sights.others += 1
            self._compare((copy.entity, record_id), tuple(state), now)

    def _compare(self, key: Key, row: Row, now: float) -> None:
        before = self._others.get(key)
        self._others[key] = row
        if before is None or before == row:
            return
        if before[1] and not row[1]:
            self.sights.returned[key].append(now)
        if problem := went_back(before, row):
            self.sights.wrong.append(f"{key[0]} {key[1]}: {problem}")


def went_back(before: Row, row: Row) -> str:
    """Return how a row went back, or an empty text. A row is (version, is_deleted, is_complete,
    …)."""
    was, now = moment(before[0]), moment(row[0])
    if was is not None and (now is None or now < was):
        return f"went back from version {was} to {now}"
    if before[2] and not row[2] and not row[1]:
        return "was complete, and is not any more"
    return ""
