"""A unit of work is retried after passing database errors, and never inside a transaction."""

import math
import sqlite3
import threading
from contextlib import closing

import pytest
from django.contrib.auth.models import Group
from django.db import (
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
    connection,
    transaction,
)

from audit.db.retry import LIMIT_SECONDS, describe, retry, suppress_transient_errors
from tests.at_once import in_threads, let_the_other_be_broken_off, somebody_waits_for_a_lock
from tests.servers import PATIENCE_SECONDS, wait_for

pytestmark = pytest.mark.django_db(transaction=True)
on_postgres = pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer")
on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL locks no file")


class Failing:
    """A unit of work that raises each of these errors, and then succeeds."""

    def __init__(self, *errors):
        self._errors = list(errors)
        self.tries = 0

    def __call__(self):
        self.tries += 1
        if self._errors:
            raise self._errors.pop(0)
        return "done"


def names():
    return list(Group.objects.filter(name__startswith="retry").values_list("name", flat=True))


@pytest.mark.parametrize("kind", [OperationalError, InterfaceError])
def test_work_is_done_again_until_the_database_lets_it(kind, caplog):
    work, delays = Failing(*[kind("away")] * 12), []

    assert retry(work, "work", limit=math.inf, wait=delays.append) == "done"

    assert len(delays) == 12
    assert caplog.text.count("retrying after a database error") == 12
    assert all(delay <= 0.2 * 2**n for n, delay in enumerate(delays))
    assert max(delays) <= 10


def test_the_last_error_is_raised_at_the_limit(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("audit.db.retry.time.monotonic", lambda: now[0])
    waited = []

    def wait(seconds):
        waited.append(seconds)
        now[0] += seconds

    with pytest.raises(OperationalError):
        retry(Failing(*[OperationalError("away")] * 1000), "work", wait=wait)

    assert sum(waited) == pytest.approx(LIMIT_SECONDS)


def test_without_time_it_is_tried_once():
    work = Failing(OperationalError("away"))

    with pytest.raises(OperationalError):
        retry(work, "work", limit=0)

    assert work.tries == 1


@pytest.mark.parametrize("error", [DataError("bad"), IntegrityError("twice"), ValueError("no")])
def test_what_does_not_pass_is_raised_at_once(error):
    work = Failing(error)

    with pytest.raises(type(error)):
        retry(work, "work")

    assert work.tries == 1


def test_the_caller_may_name_further_errors():
    errors = [IntegrityError("gone"), InternalError("read-only"), InternalError("read-only")]

    assert retry(Failing(*errors), "work", also=(IntegrityError, InternalError)) == "done"


@pytest.mark.parametrize("kind", [InternalError, ProgrammingError])
def test_what_the_session_may_be_to_blame_for_is_tried_once_in_a_new_one(kind):
    assert retry(Failing(kind("odd")), "work") == "done"

    work = Failing(kind("odd"), kind("odd"))
    with pytest.raises(kind):
        retry(work, "work")
    assert work.tries == 2


def test_a_new_session_is_tried_after_a_lost_connection_too():
    """This happens when a failover leads to a standby that is still read-only."""
    errors = [OperationalError("gone"), InternalError("read-only")]

    assert retry(Failing(*errors), "work") == "done"


def test_what_waiting_raises_ends_it():
    def wait(seconds):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        retry(Failing(OperationalError("away")), "work", limit=math.inf, wait=wait)


def test_a_connection_that_was_closed_is_made_again():
    Group.objects.count()
    connection.connection.close()

    assert retry(lambda: Group.objects.create(name="retry").name, "work") == "retry"


@on_postgres
def test_a_session_that_the_server_ended_is_made_again():
    def work():
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            Group.objects.create(name=f"retry {len(tries)}")
            tries.append(1)
            if len(tries) == 1:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    tries = []
    retry(work, "work")

    assert names() == ["retry 1"]


@on_postgres
@pytest.mark.parametrize(
    "change",
    ["SET default_transaction_read_only = on", "SET search_path = elsewhere"],
)
def test_a_changed_session_is_replaced(change):
    with connection.cursor() as cursor:
        cursor.execute(change)

    retry(lambda: Group.objects.create(name="retry"), "work")

    assert names() == ["retry"]


@on_postgres
def test_a_transaction_that_meets_a_deadlock_is_done_again():
    first, second = (Group.objects.create(name=f"retry {n}") for n in range(2))

    has_renamed_one = threading.Event()

    def rename():
        with transaction.atomic(durable=True):
            Group.objects.filter(pk=first.pk).update(name=f"{first.name}, renamed")
            if not has_renamed_one.is_set():
                has_renamed_one.set()
                wait_for(somebody_waits_for_a_lock)
            Group.objects.filter(pk=second.pk).update(name=f"{second.name}, renamed")

    with transaction.atomic():
        let_the_other_be_broken_off()
        Group.objects.filter(pk=second.pk).select_for_update().get()
        [renaming] = in_threads(lambda: retry(rename, "rename"))
        assert has_renamed_one.wait(PATIENCE_SECONDS)
        Group.objects.filter(pk=first.pk).select_for_update().get()
    renaming.result(PATIENCE_SECONDS)

    assert sorted(names()) == ["retry 0, renamed", "retry 1, renamed"]


@on_postgres
def test_a_transaction_that_cannot_be_serialized_is_done_again():
    Group.objects.create(name="retry")
    tries = []

    def rename():
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            name = Group.objects.get(name__startswith="retry").name
            if not tries:
                mine = Group.objects.filter(name=name)
                in_threads(lambda: mine.update(name="retry 1"))[0].result(30)
            tries.append(name)
            Group.objects.filter(name=name).update(name=f"{name}, renamed")

    retry(rename, "rename")

    assert (tries, names()) == (["retry", "retry 1"], ["retry 1, renamed"])


@on_postgres
def test_a_lock_that_is_held_for_too_long_is_asked_for_again():
    group = Group.objects.create(name="retry")
    tries = []

    def rename():
        tries.append(1)
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '50ms'")
            Group.objects.filter(pk=group.pk).update(name="retry 1")

    with transaction.atomic():
        Group.objects.filter(pk=group.pk).select_for_update().get()
        [renaming] = in_threads(lambda: retry(rename, "rename"))
        wait_for(lambda: len(tries) > 1)
    renaming.result(30)

    assert names() == ["retry 1"]


@on_sqlite
def test_a_file_that_is_locked_is_waited_for():
    Group.objects.count()
    with closing(sqlite3.connect(connection.settings_dict["NAME"])) as other:
        other.execute("BEGIN IMMEDIATE")

        def create():
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA busy_timeout = 10")
            return Group.objects.create(name="retry").name

        assert retry(create, "create", wait=lambda _: other.rollback()) == "retry"


@pytest.mark.parametrize("calling", [
    lambda: retry(Failing(), "work"),
    lambda: suppress_transient_errors("work").__enter__(),
])  # fmt: skip
def test_part_of_a_transaction_is_refused(calling):
    with transaction.atomic(), pytest.raises(RuntimeError, match="Retry the whole transaction"):
        calling()


@pytest.mark.django_db(transaction=False)
def test_the_transaction_of_a_test_is_left_as_it_is():
    Group.objects.create(name="retry")
    work = Failing(OperationalError("away"))

    with pytest.raises(OperationalError):
        retry(work, "work")
    with pytest.raises(OperationalError), suppress_transient_errors("work"):
        raise OperationalError("away")

    assert (work.tries, names()) == (1, ["retry"])


@pytest.mark.parametrize("kind", [OperationalError, InterfaceError, InternalError])
def test_a_round_leaves_to_the_next_what_the_database_does_not_do(kind):
    Group.objects.count()

    with suppress_transient_errors("round"):
        raise kind("away")

    assert connection.connection is None


def test_a_round_hides_no_mistake():
    with pytest.raises(ProgrammingError), suppress_transient_errors("round"):
        raise ProgrammingError("no such column")


def test_what_is_said_of_an_error_quotes_no_data():
    error = IntegrityError(
        'duplicate key value violates "name"\nDETAIL:  Key (name) exists.\nCONTEXT:  secret'
    )

    assert describe(error) == 'duplicate key value violates "name" DETAIL:  Key (name) exists.'
