"""The log that the other project's task writes: the runs of each change."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TASK_ID = re.compile(r"delivery-(\d+)-(\d+)")
#: Transaction key, sequence number, record.
Change = tuple[str, int, str]


@dataclass(slots=True)
class Run:
    """One run of the task: places in the log and times. It was killed if it has no outcome."""

    task_id: str
    pid: int
    entry: int
    change: Change
    started: int
    started_at: float
    outcome: str = ""
    ended: int = 0
    ended_at: float = 0.0

    @property
    def attempt(self) -> tuple[int, int]:
        """The delivery's id and the number of the attempt; zeros for another's task id."""
        found = _TASK_ID.fullmatch(self.task_id)
        return (int(found[1]), int(found[2])) if found else (0, 0)


@dataclass(frozen=True, slots=True)
class Log:
    """The runs of each change, in the order in which they began."""

    runs: Mapping[Change, Sequence[Run]]

    @classmethod
    def read(cls, path: Path) -> Log:
        runs: dict[Change, list[Run]] = defaultdict(list)
        open_runs: dict[tuple[int, str], Run] = {}
        for place, text in enumerate(path.read_text().splitlines(), 1):
            line = json.loads(text)
            change = (line["transaction"], line["number"], line["record"])
            key = (line["pid"], line["task"])
            if line["what"] == "start":
                run = Run(line["task"], line["pid"], line["entry"], change, place, line["at"])
                runs[change].append(run)
                open_runs[key] = run
            else:
                run = open_runs.pop(key)
                run.outcome, run.ended, run.ended_at = line["what"], place, line["at"]
        return cls(runs)

    def by_attempt(self) -> Mapping[tuple[int, int], list[Run]]:
        found: dict[tuple[int, int], list[Run]] = defaultdict(list)
        for runs in self.runs.values():
            for run in runs:
                found[run.attempt].append(run)
        return found
