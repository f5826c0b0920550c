"""One run: changes and faults while mirrors load and follow → quiet → comparison."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.mirror import checker, judge, quiet
from tests.chaos.mirror.checker import Checked
from tests.chaos.mirror.copies import COPIES
from tests.chaos.mirror.database import Errors
from tests.chaos.mirror.faults import KINDS, Faults
from tests.chaos.mirror.operators import Redeliveries, StatusReader, wait_until_in_sync
from tests.chaos.mirror.org_users import OrgUsers
from tests.chaos.mirror.report import Report
from tests.chaos.mirror.schema_changes import HIDDEN, SILENT, SchemaChanges
from tests.chaos.mirror.stage import Stage
from tests.chaos.mirror.watcher import Sights, Watcher
from tests.chaos.plan import schedule

#: Records of an object that get most of the writes, and whose every state is watched.
KNOWN = 400
#: Changes go on for this long before the first load begins.
AHEAD_SECONDS = 1.0
_MODELS = [copy.model for copy in COPIES]
_BAD_DIFFERENCES = """
SELECT m.model, d.record_id, d.field, d.reason, CAST(d.here AS text), CAST(d.there AS text)
FROM mirror_difference d JOIN mirror_mirror m ON m.id = d.mirror_id
WHERE d.reason IN ('unexplained', 'missing_row', 'not_deleted')
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The parameters of a run: `seconds` of changes at a `rate` per second, with a fault `every` so
    many seconds; then recovery, which ends when nothing has moved for `patience` seconds."""

    seed: int
    database: str
    records: int
    seconds: float
    every: float
    rate: float
    patience: float


class Run:
    def __init__(self, stage: Stage, wanted: Wanted) -> None:
        self.stage, self.wanted = stage, wanted
        self.known = {
            entity: [stage.record_id(entity, n) for n in _spread(count)]
            for entity, count in stage.counts.items()
        }
        rng = random.Random(f"users {wanted.seed}")
        others = random.Random(f"others {wanted.seed}")
        self.users = OrgUsers(
            stage.org,
            rng,
            self.known,
            lambda entity: stage.record_id(entity, others.randrange(stage.counts[entity])),
        )
        self.schema = SchemaChanges(stage.org, self._knows_of_hidden_field)
        self.watcher = Watcher(stage.database, self.known)
        self.status = StatusReader(stage.reader, self.watcher)
        self.faults = Faults(stage)
        every_id = [record_id for ids in self.known.values() for record_id in ids]
        acts = random.Random(f"operators {wanted.seed}")
        self.operators = Redeliveries(stage.operator, acts, every_id, wanted.every)
        self.violations: dict[str, Sequence[str]] = {}

    def play(self) -> Report:
        began = time.monotonic()
        self.watcher.start()
        self._write(AHEAD_SECONDS, began, 0.0)
        self.stage.manage("mirror", "add", *_MODELS, "--verify", "never")
        self.status.start()
        self.operators.start()
        self._chaos()
        self.operators.stop()
        self.faults.end()
        left_alone = time.monotonic()
        marks = self.users.mark_end()
        before, after = self._settle(marks)
        recovered = time.monotonic() - left_alone
        self.status.stop()
        sights = self.watcher.stop()
        self._judge(sights)
        self.violations["the harness"] = self.faults.failures
        self.violations["a listener's exit code"] = self.stage.stop_services()
        return self._report(sights, before, after, time.monotonic() - began, recovered)

    def _chaos(self) -> None:
        """Write changes, and inject faults beside them."""
        wanted, began = self.wanted, time.monotonic()
        kinds = [kind for kind in KINDS if kind != "cut off the database" or not self._is_sqlite]
        planned = schedule(wanted.seed, kinds, seconds=wanted.seconds, every=wanted.every)
        for fault in planned:
            self._write(fault.at - (time.monotonic() - began), began, wanted.seconds)
            self.faults.begin(fault)
        self._write(wanted.seconds - (time.monotonic() - began), began, wanted.seconds)
        deadline = time.monotonic() + wanted.patience
        while not self.schema.is_over and time.monotonic() < deadline:
            self._check_schema()
            self.schema.due(1.0)

    def _check_schema(self) -> None:
        """Have the product read the object's description, as it does each hour."""
        stage = self.stage
        stage.reader.run("mirror", "verify", COPIES[0].model, "--depth", "counts")
        time.sleep(2)

    def _knows_of_hidden_field(self) -> bool:
        """Return whether the mirror has noticed that the field is hidden."""
        query = f"SELECT described FROM mirror_mirror WHERE model = '{COPIES[0].model}'"
        try:
            [(described,)] = self.stage.database.rows(query)
        except (*Errors, ValueError):
            return False
        known = described if isinstance(described, dict) else json.loads(described)
        return HIDDEN[1] not in known

    @property
    def _is_sqlite(self) -> bool:
        return self.wanted.database == "sqlite"

    def _write(self, seconds: float, began: float, whole: float) -> None:
        """Let the org's users write for `seconds`."""
        ends_at = time.monotonic() + seconds
        while (now := time.monotonic()) < ends_at:
            self.users.act()
            if whole:
                self.schema.due((now - began) / whole)
            time.sleep(max(0.0, 1 / self.wanted.rate - (time.monotonic() - now)))

    def _settle(self, marks: Mapping[str, str]) -> tuple[Checked, Checked]:
        """Wait and compare; then verify the ids, which finds permanent deletions; wait and
        compare."""
        stage, patience = self.stage, self.wanted.patience
        self._wait("at first", marks)
        before = checker.check(stage.org, stage.database, hidden={}, left_out=SILENT)
        silent = {f"{entity} {record_id}" for entity, record_id in self.users.history.silent}
        for kind, found in before.violations.items():
            self.violations[f"{kind}, before a verification"] = [
                text for text in found if not any(text.startswith(name) for name in silent)
            ]
        verified = stage.manage(
            *("mirror", "verify", *_MODELS, "--depth", "ids", "--wait"), is_checked=False
        )
        text = (verified.stdout + verified.stderr).strip()
        self.violations["a verification"] = [text] if verified.returncode else []
        self._wait("at last", marks)
        after = checker.check(stage.org, stage.database, hidden={})
        self.violations |= after.violations
        at = max(self.users.history.created_at[key] for key in marks.items())
        self.violations["not in sync"] = wait_until_in_sync(stage.operator, at, patience)
        return before, after

    def _wait(self, when: str, marks: Mapping[str, str]) -> None:
        left = quiet.wait(self.stage.database, marks, self.wanted.patience)
        self.violations[f"not quiet {when}"] = [left] if left else []

    def _judge(self, sights: Sights) -> None:
        history = self.users.history
        self.violations |= judge.gone_back(sights, history)
        self.violations["said to be in sync"] = judge.false_claims(
            sights, history, frozenset({HIDDEN})
        )
        rows = self.stage.database.rows(_BAD_DIFFERENCES)
        self.violations["a verification's difference"] = [" ".join(map(str, row)) for row in rows]

    def _report(
        self, sights: Sights, before: Checked, after: Checked, seconds: float, recovered: float
    ) -> Report:
        wanted, database = self.wanted, self.stage.database
        counts: dict[str, object] = {
            "records": wanted.records,
            "seconds": round(seconds),
            "  from the last change on": round(recovered),
            "events": database.number("SELECT count(*) FROM audit_auditlogentry"),
            "acts": self.users.done,
            "schema changes": ", ".join(self.schema.done),
            "faults": self.faults.counts,
            "operators": self.operators.done,
            "runs": dict(
                database.rows(
                    "SELECT kind || ' ' || state, count(*) FROM mirror_mirrorrun GROUP BY 1"
                )
            ),
            "differences": dict(
                database.rows("SELECT reason, count(*) FROM mirror_difference GROUP BY 1")
            ),
            "commands that failed": len(self.operators.errors),
            "looks": sights.looks,
            "rows seen": sights.others + sum(map(len, sights.rows.values())),
            "claims to be in sync": len(sights.claims),
            "records compared": after.records,
            "values compared": after.values,
            "states": self.status.states,
            "looks that failed": len(self.watcher.errors),
            "differing before a verification": before.total,
        }
        return Report(wanted.seed, wanted.database, counts, self.violations)


def run(folder: Path, wanted: Wanted) -> Report:
    """Play a run in an empty folder, and leave its logs there."""
    with Stage(folder, wanted.database, wanted.records, wanted.seed) as stage:
        return Run(stage, wanted).play()


def _spread(count: int) -> range:
    """Return the places of the known records, spread over all records."""
    return range(0, count, max(1, count // KNOWN))[:KNOWN]
