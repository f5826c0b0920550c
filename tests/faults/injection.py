"""Raises planned errors in the steps of one process of the product, and reports what they do.

The harness replaces the file `plan.json`; each process writes a report, which is named after its
process id. Both are in the folder of the environment variable FAULTS_FOLDER.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

KINDS: dict[str, Callable[[], Exception]] = {}
WRITE_SECONDS = 0.25
LOOK_SECONDS = 0.2
#: Constants of the product that are shorter here, by module.
SHORTER: dict[str, dict[str, Any]] = {
    "listeners.threads": {"GRACE_SECONDS": 5.0},
    "handlers.worker.worker_registry": {"EVERY": 2.0},
    "consumer.stream.recorder": {"STUCK_SECONDS": 3.0},
}
LONGEST_PAUSE = 1.0


class Process:
    """The plan as this process knows it, and the record of its steps."""

    def __init__(self) -> None:
        self.name = os.environ["FAULTS_PROCESS"]
        self._folder = Path(os.environ["FAULTS_FOLDER"])
        self._lock = threading.Lock()
        self._planned_at = -1
        self._plan: dict[str, Any] = {}
        self._raised: set[str] = set()
        self._written_at = 0.0
        self.running = threading.local()
        self.steps: defaultdict[str, dict[str, Any]] = defaultdict(
            lambda: {"begun": 0, "done": 0, "in_work": 0, "within": "", "every": 0.0}
        )

    def due(self, step: str) -> str:
        """Return the kind of the error that is planned for the step, or an empty text."""
        self._read()
        plan = self._plan
        if not plan or plan["process"] not in ("", self.name):
            return ""
        if plan["steps"] is not None and step not in plan["steps"]:
            return ""
        return "" if plan["once"] and step in self._raised else str(plan["kind"])

    @property
    def is_during(self) -> bool:
        return bool(self._plan.get("during"))

    def error(self, step: str, kind: str) -> Exception:
        self._raised.add(step)
        return KINDS[kind]()

    def _read(self) -> None:
        file = self._folder / "plan.json"
        changed_at = file.stat().st_mtime_ns
        if changed_at == self._planned_at:
            return
        self._planned_at, self._plan, self._raised = changed_at, json.loads(file.read_text()), set()

    def write(self) -> None:
        from listeners.threads import Step

        with self._lock:
            if time.monotonic() - self._written_at < WRITE_SECONDS:
                return
            self._written_at = time.monotonic()
            if "stopping" in self.steps and self.due("stopping"):
                os.kill(os.getpid(), signal.SIGUSR1)  # it waits for a signal
            report = {
                "process": self.name,
                "pid": os.getpid(),
                "instances": sorted({step.name for step in list(Step.instances)}),
                "steps": dict(self.steps),
                "plan": self._plan.get("number"),
                "raised": sorted(self._raised),
            }
            file = self._folder / f"{os.getpid()}.json"
            file.with_suffix(".new").write_text(json.dumps(report))
            file.with_suffix(".new").replace(file)


def install() -> None:
    """Wrap the work of all steps that this process makes from now on."""
    from django.db import ProgrammingError

    from listeners import threads

    KINDS.update(
        RuntimeError=lambda: RuntimeError("a fault"),
        ProgrammingError=lambda: ProgrammingError("a fault"),
        UnicodeEncodeError=lambda: UnicodeEncodeError("utf-8", "\ud800", 0, 1, "a fault"),
        MemoryError=MemoryError,
    )
    process = Process()
    os.register_at_fork(after_in_child=process.__init__)  # type: ignore[misc]
    make, note_failure, repeat = (
        threads.Step.__init__,
        threads.Step.note_failure,
        threads.BackgroundThread.__init__,
    )

    def make_wrapped(self: Any, name: str, work: Callable[..., object], **options: Any) -> None:
        _shorten()
        make(self, name, _wrapped(process, name, work), **options)
        _make_interruptible(process, name, work)

    def note_and_retry_soon(self: Any, error: Exception) -> None:
        note_failure(self, error)
        self._retry_at = min(self._retry_at, time.monotonic() + LONGEST_PAUSE)

    def repeat_and_note(self: Any, step: Any, *, every: float = 0.0, **options: Any) -> None:
        process.steps[step.name]["every"] = every
        repeat(self, step, every=every, **options)

    threads.Step.__init__ = make_wrapped  # type: ignore[method-assign]
    threads.Step.note_failure = note_and_retry_soon  # type: ignore[method-assign]
    threads.BackgroundThread.__init__ = repeat_and_note  # type: ignore[method-assign]


def _wrapped(process: Process, name: str, work: Callable[..., object]) -> Callable[..., object]:
    def run(*args: Any, **options: Any) -> object:
        with _noted(process, name) as record:
            kind = process.due(name)
            if kind and not process.is_during:
                raise process.error(name, kind)
            result = _interrupted(process, name, kind, lambda: work(*args, **options))
            record["done"] += 1
            return result

    return run


@contextmanager
def _noted(process: Process, name: str) -> Iterator[dict[str, Any]]:
    outer = getattr(process.running, "name", "")
    record = process.steps[name]
    record["begun"] += 1
    record["in_work"] += 1
    record["within"] = record["within"] or outer
    process.running.name = name
    process.write()
    try:
        yield record
    finally:
        process.running.name = outer
        record["in_work"] -= 1
        process.write()


def _interrupted(process: Process, name: str, kind: str, work: Callable[[], object]) -> object:
    """Raise the error at the first SQL statement of the work, or after work without any."""
    from django.db import connection

    from listeners.threads import OVER

    if not kind:
        return work()
    raised: list[bool] = []

    def execute(run: Any, *statement: Any) -> Any:
        if not raised:
            raised.append(True)
            raise process.error(name, kind)
        return run(*statement)

    with connection.execute_wrapper(execute):
        result = work()
    if not raised and result is not OVER:
        raise process.error(name, kind)
    return result


def _make_interruptible(process: Process, name: str, work: Any) -> None:
    """Let a step that does not end return when an error is planned for it."""
    if name == "pubsub":
        loop = work.__self__

        def stop_if_due() -> None:
            if process.due(name):
                loop.stop()
            loop.call_later(LOOK_SECONDS, stop_if_due)

        loop.call_later(LOOK_SECONDS, stop_if_due)
    elif name == "stopping":
        signal.signal(signal.SIGUSR1, lambda *_: None)


def _shorten() -> None:
    from listeners.backoff import Backoff

    if "consumer.host.couriers" in sys.modules:
        sys.modules["consumer.host.couriers"].DATABASE_PAUSES = Backoff(0.5, 2.0)  # type: ignore[attr-defined]
    if "audit.internal_errors" in sys.modules:
        from datetime import timedelta

        sys.modules["audit.internal_errors"].MODULE_QUIET = timedelta(seconds=8)  # type: ignore[attr-defined]
    for module, values in SHORTER.items():
        if module in sys.modules:
            for constant, value in values.items():
                setattr(sys.modules[module], constant, value)
