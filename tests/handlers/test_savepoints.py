"""The savepoints of runs that share a transaction."""

import pytest
from django.contrib.auth.models import Group
from django.db import connection, transaction
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


def write_inside_and_fail():
    with transaction.atomic():
        Group.objects.create(name="-inside")
    fail()


def lose_savepoint_and_fail():
    with connection.cursor() as cursor:
        cursor.execute("RELEASE SAVEPOINT cdc_run_1")
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


def test_the_blocks_inside_are_undone_with_it():
    with transaction.atomic():
        savepoints = Savepoints()
        write(savepoints, "a")
        with pytest.raises(ValueError, match="after"):
            write(savepoints, "b", then=write_inside_and_fail)

    assert written() == ["a"]


def test_where_a_savepoint_is_lost_the_transaction_is_rolled_back():
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

    kinds = [query["sql"].split()[0] for query in queries]
    assert kinds == ["BEGIN", "SAVEPOINT", "RELEASE", "RELEASE", "COMMIT"]


@on_postgresql
def test_the_statements_are_not_prepared(monkeypatch):
    """PostgreSQL refuses to prepare several statements as one."""
    connection.ensure_connection()
    monkeypatch.setattr(connection.connection, "prepare_threshold", 0)

    with transaction.atomic():
        savepoints = Savepoints()
        for name in "abc":
            write(savepoints, name)

    assert written() == ["a", "b", "c"]
