"""Report background work that keeps failing as incidents, one for each cause.

What many threads and processes fail at, such as a table that lacks a column, is one incident. It is
closed by the first success of the last thread that reported it.
"""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import Error, connection, transaction
from django.utils import timezone

from audit.db import retry
from audit.models import Incident, Trouble
from listeners import threads
from listeners.threads import Observer, Step

KIND = Incident.Kind.INTERNAL_ERROR
#: How long nothing may have reported an incident until it is closed: its process has ended. Longer
#: than the longest pause of a step that fails.
QUIET = timedelta(minutes=10)
#: The same for a module that cannot be imported, which each listener process and beat report.
MODULE_QUIET = timedelta(minutes=2)
_MODULE = "handler module "


@dataclass(frozen=True)
class Cause:
    """A known cause of errors, which is not a mistake in the code."""

    key: str
    summary: str
    remedy: str


_SCHEMA = Cause(
    "database schema",
    "The database's tables do not match the running version",
    "Run manage.py migrate with the version that is deployed, and restart processes of other "
    "versions.",
)
_RIGHTS = Cause(
    "database rights",
    "The database refuses a statement: the user of DATABASE_URL lacks a right",
    "Grant the user the right that the error names (on all tables: SELECT, INSERT, UPDATE, DELETE; "
    "on sequences: USAGE, SELECT).",
)
_DISK = Cause(
    "database disk",
    "The database's disk is full",
    "Free or add disk space for the database. manage.py prune_audit_log deletes old entries.",
)
_LOCKED = Cause(
    "database lock",
    "Another database session holds a lock for long",
    "Find the session: on PostgreSQL pg_stat_activity shows who waits for a lock, and SELECT "
    "pg_blocking_pids(PID) for whom; end it with SELECT pg_terminate_backend(PID).",
)
#: By SQLSTATE on PostgreSQL: undefined column, undefined table, a column that the code does not
#: know and that must have a value; insufficient privilege; full disk; lock timeout.
_BY_STATE = {
    **dict.fromkeys(("42703", "42P01", "23502"), _SCHEMA),
    **dict.fromkeys(("42501",), _RIGHTS),
    **dict.fromkeys(("53100",), _DISK),
    **dict.fromkeys(("55P03",), _LOCKED),
}
#: By message on SQLite.
_BY_TEXT = {
    r"no such (table|column)|has no column named|NOT NULL constraint failed": _SCHEMA,
    r"readonly database": _RIGHTS,
    r"disk is full": _DISK,
}


def cause_of(error: BaseException | None) -> Cause | None:
    """Return the known cause of an error, or of the first of a group that has one."""
    if isinstance(error, ExceptionGroup):
        return next(filter(None, map(cause_of, error.exceptions)), None)
    while error is not None:
        if found := _BY_STATE.get(getattr(error, "sqlstate", None) or ""):
            return found
        if isinstance(error, Error):
            for pattern, cause in _BY_TEXT.items():
                if re.search(pattern, str(error)):
                    return cause
        error = error.__cause__
    return None


@dataclass
class _Open:
    """An incident that this process reported, and the steps that still fail for its cause."""

    seen_at: datetime
    failing: dict[Step, str] = field(default_factory=dict)


class _Reports:
    """The incidents that this process reported and that are still open, by key."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.opened: dict[str, _Open] = {}


_reports = _Reports()
# The lock may be held by a thread that a forked process does not have.
os.register_at_fork(after_in_child=_reports.__init__)  # type: ignore[misc]


class IncidentReporter(Observer):
    """Opens and closes the incidents of this process. Thread-safe."""

    def __init__(self, session: Callable[[], AbstractContextManager[Any]] = nullcontext) -> None:
        """The database is only used inside `session`."""
        self._session = session

    def failed(self, step: Step, error: Exception) -> None:
        cause = cause_of(error)
        now = timezone.now()
        with _reports.lock, self._session():
            key = cause.key if cause else step.name
            opened = _reports.opened.setdefault(key, _Open(now))
            opened.failing[step] = step.last_failure.text if step.last_failure else ""
            trouble = _trouble(key, cause, opened.failing, now)
            with transaction.atomic(durable=True):
                Incident.objects.report(None, trouble, now)
            opened.seen_at = now

    def recovered(self, step: Step) -> bool:
        now = timezone.now()
        with _reports.lock, self._session():
            for key, opened in list(_reports.opened.items()):
                if step not in opened.failing:
                    continue
                if len(opened.failing) == 1:
                    _close(key, opened.seen_at, f"{step.name} works again.", now)
                    del _reports.opened[key]
                else:
                    del opened.failing[step]
        return True

    def ended(self, step: Step) -> None:
        """Leave its incident to `close_quiet`, unless another thread fails for the same cause."""
        with _reports.lock:
            for key, opened in list(_reports.opened.items()):
                opened.failing.pop(step, None)
                if not opened.failing:
                    del _reports.opened[key]
        super().ended(step)

    def describe(self, error: Exception) -> str:
        return threads.first_line(error) if isinstance(error, Error) else super().describe(error)

    def release(self) -> None:
        if not connection.in_atomic_block:
            connection.close()


REPORTER = IncidentReporter()


def step(name: str, work: Callable[..., object], consequence: str, **options: Any) -> Step:
    """Return a step whose failures are reported as incidents. Errors of a database that is not
    available are expected."""
    options.setdefault("observer", REPORTER)
    options["expected"] = (*retry.TRANSIENT, *options.get("expected", ()))
    return Step(name, work, consequence=consequence, **options)


def adopt() -> None:
    """Let the steps of the wire, which knows no incidents, report theirs too."""
    for found in list(Step.instances):
        if type(found.observer) is Observer:
            found.observer = REPORTER


def failing() -> list[Step]:
    """Return the steps of this process that keep failing, by name."""
    return sorted(
        (found for found in list(Step.instances) if found.keeps_failing),
        key=lambda found: found.name,
    )


def is_any_open(now: datetime) -> bool:
    """Return whether an internal error is open that was reported a moment ago."""
    recent = Incident.objects.opened().filter(kind=KIND, last_seen_at__gte=now - MODULE_QUIET)
    return recent.exists()


def close_quiet(now: datetime) -> int:
    """Close the incidents that nothing has reported for QUIET, since their process ended; return
    how many. Inside any transaction."""
    quiet = Incident.objects.opened().filter(kind=KIND, last_seen_at__lte=now - QUIET)
    return quiet.settle(now, note="The process that reported it has ended or works again.")


def report_modules(failures: Mapping[str, str], now: datetime) -> None:
    """Open or refresh the incident of each handler module that cannot be imported, with the reason;
    close those of modules that no process has reported for some time. Inside any transaction."""
    for module, reason in failures.items():
        trouble = Trouble(
            KIND,
            f"{_MODULE}{module}",
            f"The handler module {module} cannot be imported: {reason}.",
            "Correct the module, then restart listeners and workers. Their logs have the "
            "traceback.",
            action="Changes are recorded. Deliveries to the module's handlers wait.",
            lasts=True,
        )
        Incident.objects.report(None, trouble, now)
    mended = Incident.objects.opened().filter(
        kind=KIND, key__startswith=_MODULE, last_seen_at__lte=now - MODULE_QUIET
    )
    mended.settle(now, note="The module is imported again.")


def _trouble(key: str, cause: Cause | None, failing: Mapping[Step, str], now: datetime) -> Trouble:
    names = ", ".join(sorted(found.name for found in failing))
    errors = "; ".join(dict.fromkeys(failing.values()))
    since = min(filter(None, (found.failing_since for found in failing)), default=now)
    process = f"{socket.gethostname()}:{os.getpid()}"
    summary = f"{cause.summary}: {errors}" if cause else f"{names} keeps failing: {errors}"
    remedy = (
        cause.remedy
        if cause
        else (
            f"Look for the traceback in the log of process {process} (thread {names}). If the "
            "cause is not in your environment, report it with the traceback; a restart may help."
        )
    )
    consequences = " ".join(sorted({found.consequence for found in failing}))
    return Trouble(
        KIND,
        key,
        f"{summary}.",
        remedy,
        since,
        now,
        action=f"{consequences} Retried until it succeeds, by {names} in process {process}.",
        lasts=True,
    )


def _close(key: str, seen_at: datetime, note: str, now: datetime) -> None:
    """Close the incident, unless another process has reported it since."""
    mine = Incident.objects.opened().filter(kind=KIND, key=key, last_seen_at=seen_at)
    mine.settle(now, note=note)
