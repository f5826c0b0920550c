"""Background threads that no error ends, and the record of what they do.

A `BackgroundThread` repeats a `Step`. A step that fails is tried again after growing pauses, until
it succeeds. Readiness, metrics and incidents show its record. The product starts no other threads,
except for single calls with `call_in_thread`, whose caller gets the error.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, TypeVar
from weakref import WeakSet

import structlog
from prometheus_client import Counter, Gauge

from listeners.backoff import Backoff

log = structlog.get_logger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

#: A step returns it to end its thread.
OVER: Final = object()
#: What a call of a step returns after an error, and while it pauses after one.
FAILED: Final = object()
#: A step is reported after so many unexpected errors in a row, or when it has failed for so long.
ERRORS_IN_A_ROW = 3
GRACE_SECONDS = 60.0
BACKOFF = Backoff(1.0, 30.0, jitter=0.5)

LAST_SUCCESS = Gauge(
    "cdc_thread_last_success_seconds",
    "Time at which this background thread, or part of one, last did its work.",
    ["thread"],
    multiprocess_mode="max",
)
ERRORS = Counter(
    "cdc_thread_errors", "Errors that ended a step of this background thread.", ["thread"]
)


@dataclass(frozen=True, slots=True)
class Failure:
    """The last error of a step. Neither text quotes data that the error was about."""

    at: datetime
    text: str
    traceback: str


class Observer:
    """Where the steps of a process report; this one ignores what it is told."""

    def failed(self, step: Step, error: Exception) -> None:
        """Report a step that keeps failing. Called after each further error, in its thread."""

    def recovered(self, step: Step) -> bool:
        """Report that a reported step succeeded; return False to be called again later."""
        return True

    def describe(self, error: Exception) -> str:
        """Return an unexpected error in one line, without data."""
        return describe(error)

    def release(self) -> None:
        """Release what the thread holds. Called after each error."""

    def ended(self, step: Step) -> None:
        """Forget the step, whose thread has ended, and release what it held."""
        self.release()


class Step:
    """A piece of work that is repeated in the background, with the record of its outcomes."""

    #: The steps of this process.
    instances: ClassVar[WeakSet[Step]] = WeakSet()

    def __init__(
        self,
        name: str,
        work: Callable[..., object],
        *,
        consequence: str,
        expected: tuple[type[Exception], ...] = (),
        backoff: Backoff = BACKOFF,
        observer: Observer | None = None,
    ) -> None:
        """`name` is unique in the process, and short: logs, metrics and incidents show it.

        consequence   what does not happen while the step fails: a sentence for operators
        expected      errors that pass by themselves, such as those of a database that restarts.
                      They are logged without a traceback, and reported only after GRACE_SECONDS
        """
        self.name = name
        self.consequence = consequence
        self.observer = observer or Observer()
        self.error_count = 0
        self.last_success_at: datetime | None = None
        self.failing_since: datetime | None = None
        self.last_failure: Failure | None = None
        self._work = work
        self._expected = expected
        self._backoff = backoff
        self._failures = self._unexpected_in_a_row = 0
        self._failing_since = self._failed_at = self._retry_at = 0.0
        self._is_reported = False
        Step.instances.add(self)

    # Queries

    @property
    def keeps_failing(self) -> bool:
        """Whether it has failed for so long, or so often, that an operator should know. After an
        error, a step that waits for work does not fail meanwhile."""
        return self.failing_since is not None and (
            self._unexpected_in_a_row >= ERRORS_IN_A_ROW
            or self._failed_at - self._failing_since >= GRACE_SECONDS
        )

    @property
    def pause(self) -> float:
        """The seconds until the step is tried again after an error; 0 without one."""
        return max(0.0, self._retry_at - time.monotonic()) if self._failures else 0.0

    # Mutators

    def __call__(self, *args: Any, **options: Any) -> object:
        """Do the work once; return its result, or FAILED."""
        if self.pause:
            return FAILED
        try:
            result = self._work(*args, **options)
        except Exception as error:  # noqa: BLE001  recorded, logged and reported
            self.note_failure(error)
            return FAILED
        self.note_success()
        return result

    def note_success(self) -> None:
        """Record a success. Work that takes long calls it in between."""
        self.last_success_at = datetime.now(UTC)
        with suppress(OSError):  # the folder of forked processes' metrics is full or gone
            LAST_SUCCESS.labels(self.name).set(self.last_success_at.timestamp())
        if self._failures:
            self._failures = self._unexpected_in_a_row = 0
            self.failing_since = None
        if self._is_reported:
            self._is_reported = not self._observe(lambda: self.observer.recovered(self))

    def note_failure(self, error: Exception) -> None:
        """Record an error. Work that retries by itself calls it in between."""
        now, self._failed_at = datetime.now(UTC), time.monotonic()
        if not self._failures:
            self.failing_since, self._failing_since = now, self._failed_at
        self._failures += 1
        self.error_count += 1
        with suppress(OSError):
            ERRORS.labels(self.name).inc()
        text = self._describe(error)
        frames = "".join(traceback.format_tb(error.__traceback__))
        self.last_failure = Failure(now, text, frames)
        if self._is_expected(error):
            log.warning("background work failed; will retry", thread=self.name, reason=text)
        else:
            self._unexpected_in_a_row += 1
            log.error("unexpected error", thread=self.name, exc_info=error)
        if self.keeps_failing:
            self._is_reported = True
            self._observe(lambda: self.observer.failed(self, error))
        self._observe(self.observer.release)
        self._retry_at = time.monotonic() + self._backoff.delay(self._failures)

    def _describe(self, error: Exception) -> str:
        if isinstance(error, ExceptionGroup):
            return "; ".join(dict.fromkeys(map(self._describe, error.exceptions)))
        if isinstance(error, self._expected):  # our own text, or that of a database
            return first_line(error)
        return self.observer.describe(error)

    def _is_expected(self, error: Exception) -> bool:
        if isinstance(error, ExceptionGroup):
            return all(map(self._is_expected, error.exceptions))
        return isinstance(error, self._expected)

    def _observe(self, report: Callable[[], Result]) -> Result | None:
        try:
            return report()
        except Exception as error:  # noqa: BLE001  the next error or success reports again
            log.warning(
                "background work not reported", thread=self.name, reason=type(error).__name__
            )
            return None


class BackgroundThread:
    """Repeats a step, first after `every` seconds, until it is stopped or the step returns OVER."""

    def __init__(
        self, step: Step, *, every: float = 0.0, finish: Callable[[], object] = lambda: None
    ) -> None:
        """`every`: seconds between two steps; 0 if the step itself waits for its work. `finish` is
        called at the end, in the thread."""
        self.step = step
        self._every = every
        self._finish = finish
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self.run, name=step.name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the current step. Returns at once."""
        self._stopped.set()

    def join(self, timeout: float | None = None) -> None:
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def run(self) -> None:
        """Repeat the step in the current thread."""
        try:
            while not self._stopped.wait(max(self._every, self.step.pause)):
                if self.step() is OVER:
                    return
        finally:
            for end in (self._finish, lambda: self.step.observer.ended(self.step)):
                try:
                    end()
                except Exception as error:
                    log.error("unexpected error", thread=self.step.name, exc_info=error)


def call_in_thread(name: str, function: Callable[..., Result], *args: Any) -> Future[Result]:
    """Call the function once, in a thread that does not keep the process from ending."""
    future: Future[Result] = Future()

    def call() -> None:
        try:
            result = function(*args)
        except BaseException as error:  # noqa: BLE001  for whoever takes the result
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=call, name=name, daemon=True).start()
    return future


def for_each(
    items: Iterable[Item], work: Callable[[Item], object], *, name: Callable[[Item], str] = str
) -> None:
    """Call `work` with each item; an error keeps no other item from its turn.

    Then raises the errors together as an ExceptionGroup, each with a note of its item's name.
    """
    errors: list[Exception] = []
    for item in items:
        try:
            work(item)
        except Exception as error:  # noqa: BLE001  raised below
            error.add_note(f"for {name(item)}")
            errors.append(error)
    if errors:
        raise ExceptionGroup("not all were done", errors)


def describe(error: Exception) -> str:
    """Return the error's type and place in one line. Its text may quote data or a secret."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {frames[-1].name} ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return " ".join([f"{type(error).__name__}{place}", *_notes_of(error)])


def first_line(error: Exception) -> str:
    """Return the error's type and the first line of its text. PostgreSQL quotes data in others."""
    text = (str(error).strip().splitlines() or [""])[0]
    return " ".join([f"{type(error).__name__}: {text}", *_notes_of(error)])


def _notes_of(error: Exception) -> list[str]:
    """Return the notes of `for_each`."""
    return list(getattr(error, "__notes__", ()))
