"""The progress and the result of a run in words, for the command and the console."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from audit.db.row_count import Total
from audit.jobs.eta import Pace, span
from mirror.models import MirrorRun
from mirror.problems import NOT_CARRIED

Kind, State = MirrorRun.Kind, MirrorRun.State


def began(run: MirrorRun) -> datetime | None:
    """Return when a run began to process rows: a load waits for its listener first."""
    begun = run.cursor.get("begun")
    return datetime.fromisoformat(begun) if isinstance(begun, str) else run.started_at


def pace_of(run: MirrorRun, now: datetime) -> Pace:
    return Pace.since(began(run), run.finished_at or now, run.done, Total(run.total))


def progress_of(run: MirrorRun, now: datetime) -> str:
    """Return the progress of a run: "43 %, 1,204 rows/s, 2 min left"."""
    pace = pace_of(run, now)
    rows = f"{run.done:,} {'row' if run.done == 1 else 'rows'}"
    if run.state == State.WAITING:
        return f"{rows if run.done else ''}, waiting for {run.waits_for or 'a worker'}".lstrip(", ")
    if run.kind == Kind.LOAD and run.cursor.get("is_loaded"):
        return f"{rows} loaded, sweeping recent changes"
    if not run.done:
        return "started"
    counted = rows if pace.percent is None else f"{pace.percent} %"
    rate = f"{pace.rate:,.0f} rows/s" if pace.rate else ""
    return ", ".join(part for part in (counted, rate, pace.left) if part)


def result_of(run: MirrorRun) -> str:
    """Return the result of a run that has ended: "60,000 rows in 37 s; 1 difference, repaired"."""
    return "; ".join(_parts(run))


def _parts(run: MirrorRun) -> Iterator[str]:
    if run.kind == Kind.FORMULAS and run.state == State.DONE:
        yield _refreshed(run)
        return
    start = began(run)
    seconds = (run.finished_at - start).total_seconds() if run.finished_at and start else 0.0
    took = f" in {span(seconds)}" if seconds >= 1 else ""
    yield f"{_processed(run)}{took}"
    if run.state != State.DONE:
        return
    if run.kind == Kind.LOAD and (reader := run.report.get("read_by")):
        yield f"read by {reader}"
    if run.kind == Kind.VERIFY:
        yield _compared(run.report)
    if run.kind == Kind.REPAIR:
        left = run.report.get("open", 0)
        yield f"{_differences(left)} left" if left else "no difference left"


def _processed(run: MirrorRun) -> str:
    """Return the number of rows; a verification by counts reads none."""
    if run.kind == Kind.VERIFY and not run.done and (counted := run.report.get("rows")):
        return f"{counted:,} {'row' if counted == 1 else 'rows'} counted"
    return f"{run.done:,} {'row' if run.done == 1 else 'rows'}"


def _refreshed(run: MirrorRun) -> str:
    if text := run.report.get(NOT_CARRIED):
        return str(text)
    if run.options.get("schema_only"):
        return "compared with the model"
    if not run.done:
        return "no formula fields"
    return f"{_processed(run)} compared, {run.report.get('formulas', 0):,} refreshed"


def _compared(report: dict[str, int]) -> str:
    found = report.get("differences", 0)
    if not found:
        return "no difference"
    repaired, left = report.get("repaired", 0), report.get("open", 0)
    parts = [f"{_differences(found)} found", f"{repaired:,} repaired" if repaired else ""]
    parts.append(f"{left:,} open" if left else "")
    return ", ".join(part for part in parts if part)


def _differences(count: int) -> str:
    return f"{count:,} {'difference' if count == 1 else 'differences'}"
