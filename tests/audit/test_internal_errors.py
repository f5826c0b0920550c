"""Background work that keeps failing opens one incident for each cause, until it succeeds."""

import sqlite3
import threading
from datetime import timedelta

import pytest
from django.db import OperationalError, ProgrammingError, connection
from django.utils import timezone

from audit import internal_errors
from audit.internal_errors import QUIET, cause_of, close_quiet, step
from audit.models import Incident
from listeners.backoff import Backoff
from listeners.threads import Step

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def nothing_reported(monkeypatch):
    monkeypatch.setattr(internal_errors, "_reports", internal_errors._Reports())


def failing(name, error, **options):
    def work():
        if errors:
            raise errors[0]

    errors = [error]
    made = step(name, work, f"{name} is not done.", backoff=Backoff(0, 0), **options)
    made.mend = errors.clear
    return made


def fail(*steps, times=3):
    for one in steps:
        for _ in range(times):
            one()


def opened():
    return list(Incident.objects.opened().filter(kind="internal_error"))


def missing_column():
    """The error of a statement that names a column that does not exist."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT colour FROM audit_incident")
    except (OperationalError, ProgrammingError) as error:
        return error
    raise AssertionError


def test_it_names_the_work_the_error_the_time_and_what_is_not_done():
    relay = failing("relay", RuntimeError("secret"))

    fail(relay, times=2)
    assert not opened()
    fail(relay, times=2)

    [incident] = opened()
    assert incident.summary.startswith("relay keeps failing: RuntimeError in work (")
    assert "secret" not in incident.summary
    assert incident.action.startswith("relay is not done. Retried until it succeeds, by relay in")
    assert "traceback" in incident.remedy
    assert incident.window_start == relay.failing_since
    assert incident.window_end == incident.last_seen_at
    assert incident.notify_due_at is not None


def test_the_first_success_closes_it():
    relay = failing("relay", RuntimeError())
    fail(relay)
    relay.mend()

    relay()

    assert not opened()
    assert Incident.objects.get().note == "relay works again."


def test_a_cause_that_several_fail_at_is_one_incident_until_the_last_succeeds():
    first, second = failing("first", missing_column()), failing("second", missing_column())
    for one in (first, second):
        one.note_failure(missing_column())
        one._unexpected_in_a_row = 3  # SQLite's is an error that may pass by itself
        one()

    [incident] = opened()
    assert incident.key == "database schema"
    assert "manage.py migrate" in incident.remedy
    assert "colour" in incident.summary
    assert incident.action.startswith("first is not done. second is not done.")

    first.mend()
    first()
    assert opened()
    second.mend()
    second()
    assert not opened()


def test_what_another_process_reported_since_stays_open():
    relay = failing("relay", RuntimeError())
    fail(relay)
    Incident.objects.update(last_seen_at=timezone.now() + timedelta(seconds=1))
    relay.mend()

    relay()

    assert opened()


def test_what_no_process_reports_any_more_is_closed():
    fail(failing("relay", RuntimeError()))
    now = timezone.now()

    close_quiet(now + QUIET / 2)
    assert opened()
    close_quiet(now + QUIET * 2)

    assert not opened()


def test_a_report_that_the_database_refuses_is_made_with_the_next_error(monkeypatch):
    relay = failing("relay", RuntimeError())
    with monkeypatch.context() as context:
        context.setattr(internal_errors.Incident.objects, "report", None)
        fail(relay)
    assert not opened()

    relay()

    assert opened()


def test_a_step_of_the_wire_reports_after_it_is_adopted():
    def work():
        raise RuntimeError

    wire = Step("pubsub", work, consequence="Nothing is received.", backoff=Backoff(0, 0))
    fail(wire)
    assert not opened()

    internal_errors.adopt()
    wire()

    assert [incident.key for incident in opened()] == ["pubsub"]


def test_reports_of_several_threads_are_one():
    steps = [failing(f"part {number}", missing_column()) for number in range(8)]
    for one in steps:
        one._unexpected_in_a_row = 3
    threads = [threading.Thread(target=one) for one in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(opened()) == 1


@pytest.mark.parametrize(
    ("sqlstate", "key"),
    [
        ("42703", "database schema"),
        ("42P01", "database schema"),
        ("42501", "database rights"),
        ("53100", "database disk"),
        ("55P03", "database lock"),
    ],
)
def test_the_causes_that_operators_can_mend_are_known(sqlstate, key):
    driver_error = Exception("x")
    driver_error.sqlstate = sqlstate
    error = OperationalError("x")
    error.__cause__ = driver_error

    assert cause_of(error).key == key
    assert cause_of(ExceptionGroup("", [ValueError(), error])).key == key


def test_the_causes_are_known_on_sqlite():
    error = OperationalError("database or disk is full")
    error.__cause__ = sqlite3.OperationalError("database or disk is full")

    assert cause_of(error).key == "database disk"
    assert cause_of(OperationalError("database is locked")) is None
    assert cause_of(ValueError("no such table")) is None
