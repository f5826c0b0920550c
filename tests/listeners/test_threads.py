"""A background thread goes on after any error, after growing pauses, and keeps a record."""

import threading
import time

import pytest
from structlog.testing import capture_logs

from listeners import threads
from listeners.backoff import Backoff
from listeners.threads import (
    FAILED,
    OVER,
    BackgroundThread,
    Observer,
    Step,
    call_in_thread,
    describe,
    for_each,
)
from tests.servers import PATIENCE_SECONDS, wait_for

pytestmark = pytest.mark.anywhere
AT_ONCE = Backoff(0.0, 0.0)


class Work:
    """Work that raises the given errors in their order, and then succeeds."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.done = 0
        self.is_over = False

    def __call__(self) -> object:
        if self.errors:
            raise self.errors.pop(0)
        self.done += 1
        return OVER if self.is_over else None


class Reports(Observer):
    def __init__(self, *, is_closed=True) -> None:
        self.failed_steps: list[str] = []
        self.recovered_steps: list[str] = []
        self.is_closed = is_closed

    def failed(self, step, error) -> None:
        self.failed_steps.append(f"{step.name}: {error}")

    def recovered(self, step) -> bool:
        self.recovered_steps.append(step.name)
        return self.is_closed


def step(work, **options):
    options = {"consequence": "Nothing is done.", "backoff": AT_ONCE, **options}
    return Step("test", work, **options)


@pytest.mark.parametrize(
    "error",
    [RuntimeError("x"), MemoryError(), "\ud800", LookupError("x")],
    ids=["runtime", "memory", "unicode", "lookup"],
)
def test_no_error_ends_a_thread(error):
    if isinstance(error, str):
        with pytest.raises(UnicodeEncodeError) as raised:
            error.encode()
        error = raised.value
    work = Work(error, error)
    thread = BackgroundThread(step(work))

    thread.start()
    wait_for(lambda: work.done >= 2, what="the work after the errors")

    work.is_over = True
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    assert thread.step.error_count == 2
    assert not thread.step.keeps_failing


def test_a_step_that_fails_pauses_for_longer_and_longer():
    failing = step(Work(*[ValueError()] * 9), backoff=Backoff(10.0, 1000.0, jitter=0))

    assert failing() is FAILED
    assert 9.0 < failing.pause <= 10.0
    assert failing() is FAILED, "it is not called during its pause"

    assert failing.error_count == 1
    failing.note_failure(ValueError())
    assert 19.0 < failing.pause <= 20.0
    failing.note_success()
    assert failing.pause == 0.0


def test_a_stopped_thread_does_not_wait_for_its_pause():
    thread = BackgroundThread(step(Work(*[ValueError()] * 9), backoff=Backoff(600, 600, jitter=0)))
    thread.start()
    wait_for(lambda: thread.step.error_count == 1)

    thread.stop()

    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()


def test_three_unexpected_errors_in_a_row_are_reported_until_it_succeeds():
    reports = Reports()
    failing = step(Work(*map(ValueError, "abcd")), observer=reports)

    for _ in range(6):
        failing()

    assert reports.failed_steps == ["test: c", "test: d"]
    assert reports.recovered_steps == ["test"]


def test_errors_with_successes_in_between_are_not_reported():
    reports = Reports()
    work = Work()
    failing = step(work, observer=reports)

    for _ in range(5):
        work.errors.append(ValueError())
        failing()
        failing()

    assert reports.failed_steps == reports.recovered_steps == []
    assert failing.error_count == 5


def test_an_expected_error_is_reported_after_its_grace_alone(monkeypatch):
    reports = Reports()
    failing = step(Work(*[OSError("no route")] * 6), observer=reports, expected=(OSError,))
    with capture_logs() as logs:
        for _ in range(5):
            failing()
    assert reports.failed_steps == []
    assert {(line["log_level"], line["reason"]) for line in logs} == {
        ("warning", "OSError: no route")
    }

    monkeypatch.setattr(threads, "GRACE_SECONDS", 0.0)
    failing()

    assert len(reports.failed_steps) == 1


def test_a_group_is_expected_if_each_of_its_errors_is():
    failing = step(Work(), expected=(OSError,))

    failing.note_failure(ExceptionGroup("", [OSError(), OSError()]))
    assert failing._unexpected_in_a_row == 0
    failing.note_failure(ExceptionGroup("", [OSError(), ValueError()]))

    assert failing._unexpected_in_a_row == 1


def test_a_success_that_cannot_be_reported_is_reported_with_the_next():
    reports = Reports(is_closed=False)
    failing = step(Work(*[ValueError()] * 3), observer=reports)
    for _ in range(5):
        failing()
    reports.is_closed = True
    for _ in range(3):
        failing()

    assert len(reports.recovered_steps) == 3


def test_an_observer_that_fails_ends_nothing():
    class Broken(Observer):
        def failed(self, step, error):
            raise UnicodeError

        def release(self):
            raise RuntimeError

    work = Work(*[ValueError()] * 4)
    thread = BackgroundThread(step(work, observer=Broken()))
    thread.start()

    wait_for(lambda: work.done > 1)
    work.is_over = True
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()


def test_an_error_at_the_end_is_logged_and_ends_the_thread():
    ended = threading.Event()

    def finish():
        ended.set()
        raise ValueError

    work = Work()
    work.is_over = True
    with capture_logs() as logs:
        BackgroundThread(step(work), finish=finish).run()

    assert ended.is_set()
    assert [line["event"] for line in logs] == ["unexpected error"]


def test_the_record_quotes_no_data():
    secret = "s3cret"
    failing = step(Work(ValueError(secret)))

    failing()

    assert "ValueError in __call__" in failing.last_failure.text
    assert "raise self.errors.pop(0)" in failing.last_failure.traceback
    assert secret not in failing.last_failure.text + failing.last_failure.traceback


def test_the_others_have_their_turn_when_one_fails():
    done = []

    def work(item):
        if item == "b":
            raise ValueError
        done.append(item)

    with pytest.raises(ExceptionGroup) as raised:
        for_each("abc", work, name=str.upper)

    assert done == ["a", "c"]
    assert [describe(error)[-5:] for error in raised.value.exceptions] == ["for B"]


def test_a_call_in_a_thread_gives_its_error_to_the_caller():
    def fail():
        raise KeyError("x")

    assert call_in_thread("test", lambda: 1).result(PATIENCE_SECONDS) == 1
    with pytest.raises(KeyError):
        call_in_thread("test", fail).result(PATIENCE_SECONDS)


def test_a_thread_waits_between_two_steps():
    work = Work()
    thread = BackgroundThread(step(work), every=600)
    thread.start()
    time.sleep(0)

    assert work.done == 0
    thread.stop()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
