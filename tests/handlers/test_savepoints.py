"""The savepoints of runs that share a transaction."""

import pytest
from django.contrib.auth.models import Group
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from handlers.worker.savepoints import Savepoints
from tests.handlers.leaving import on_postgresql
from tests.sample_handlers import written_groups

pytestmark = pytest.mark.django_db(transaction=True)


def write(savepoints, name, *, then=lambda: None):
    """Write a group and register a hook in the next savepoint, then do something else."""
    with savepoints.next():
        Group.objects.create(name=f"-{name}")
        transaction.on_commit(lambda: HOOKS.append(name))
        then()


def fail():
    raise ValueError("after the write")


def violate():
    Group.objects.create(name=written_groups()[0].name)


def lose_savepoint():
    with connection.cursor() as cursor:
        cursor.execute(f"RELEASE SAVEPOINT {connection.savepoint_ids[-1]}")


def lose_savepoint_and_fail():
    lose_savepoint()
    fail()


HOOKS: list[str] = []


@pytest.fixture(autouse=True)
def no_hooks():
    HOOKS.clear()


def written():
    return sorted(name[1:] for name in written_groups().values_list("name", flat=True))


def test_a_failure_undoes_its_own_writes_and_hooks_alone():
    with transaction.atomic():
        savepoints = Savepoints()
        write(savepoints, "a")
        with pytest.raises(ValueError, match="after"):
            write(savepoints, "b", then=fail)
        write(savepoints, "c")
        with pytest.raises(ValueError, match="after"):
            write(savepoints, "d", then=fail)

    assert written() == ["a", "c"]
    assert HOOKS == ["a", "c"]


def test_a_database_error_leaves_the_transaction_usable():
    with transaction.atomic():
        savepoints = Savepoints()
        write(savepoints, "a")
        with pytest.raises(IntegrityError):
            write(savepoints, "b", then=violate)
        write(savepoints, "c")
        savepoints.end()

    assert written() == ["a", "c"]


@pytest.mark.parametrize("release", [lambda savepoints: write(savepoints, "b"), Savepoints.end])
def test_the_release_of_a_lost_savepoint_raises_an_error(release):
    with transaction.atomic():
        savepoints = Savepoints()
        write(savepoints, "a", then=lose_savepoint)
        with pytest.raises(DatabaseError):
            release(savepoints)
        transaction.set_rollback(True)


def test_after_a_failure_a_lost_savepoint_rolls_the_transaction_back():
    with transaction.atomic():
        savepoints = Savepoints()
        with pytest.raises(ValueError, match="after"):
            write(savepoints, "a", then=lose_savepoint_and_fail)
        assert connection.needs_rollback

    assert written() == []


@on_postgresql
def test_one_statement_ends_a_savepoint_and_begins_the_next():
    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        savepoints = Savepoints()
        for _ in range(3):
            with savepoints.next():
                pass
        savepoints.end()

    kinds = [query["sql"].split()[0] for query in queries]
    assert kinds == ["BEGIN", "SAVEPOINT", "RELEASE", "RELEASE", "RELEASE", "COMMIT"]


@on_postgresql
def test_the_statements_are_not_prepared(monkeypatch):
    """With `server_side_binding`, Django's own cursors prepare statements."""
    from django.db.backends.postgresql.base import ServerBindingCursor

    connection.ensure_connection()
    monkeypatch.setattr(connection.connection, "prepare_threshold", 0)
    monkeypatch.setattr(connection.connection, "cursor_factory", ServerBindingCursor)

    with transaction.atomic():
        savepoints = Savepoints()
        for _ in range(3):
            with savepoints.next():
                pass

    assert savepoints.count == 3
