"""A database that is killed, frozen, locked or not there yet loses nothing."""

import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from django.db import connection

from audit.models import AuditLogEntry
from tests.crash_points import at, reached
from tests.servers import wait_for
from tests.system.private_postgres import PrivatePostgres, new_server

IS_SQLITE = connection.vendor == "sqlite"
on_postgres = pytest.mark.skipif(IS_SQLITE, reason="of PostgreSQL: TEST_DATABASE=postgres")
on_sqlite = pytest.mark.skipif(not IS_SQLITE, reason="of SQLite")

UNENDED = (
    "SELECT count(*) FROM handlers_delivery "
    "WHERE state IN ('blocked', 'ready', 'queued', 'running', 'retrying')"
)
ENTRIES = "SELECT count(*) FROM audit_auditlogentry"
GROUPS = (
    "SELECT count(*), count(DISTINCT split_part(name, '-', 1)) FROM auth_group "
    "WHERE name LIKE '%-%'"  # the roles are groups too
)
FEW_RECORDS = {"mix": {"create": 1, "update": 9}, "quiet": True}


@pytest.fixture
def postgres():
    """A running server without processes yet."""
    server = PrivatePostgres()
    yield server
    server.close()


@on_postgres
def test_postgresql_killed_in_the_midst_of_things_costs_nothing(
    postgres, processes, simulator, tmp_path
):
    postgres.configure(simulator, "tests.write_group", tmp_path)
    changes = simulator.burst(120, **FEW_RECORDS)["changes"]
    in_listener = at(
        "recording:run:2", "recorded:run:4", "committed:run:6",
        command=postgres.server.restarting(),
    )  # fmt: skip
    in_worker = at(
        "claimed:run:5", "settled:run:12", "ended:run:20", command=postgres.server.restarting()
    )

    listener = postgres.listener(processes, CDC_BATCH_MAX="10", **in_listener)
    wait_for(lambda: len(reached(in_listener)) == 3, what="each point of the listener")
    worker = postgres.worker(processes, CDC_CLAIM_SECONDS="4", **in_worker)

    wait_for(lambda: len(reached(in_worker)) == 3, what="each point of the worker")
    wait_for(lambda: postgres.number(ENTRIES) == changes, what="the recording")
    wait_for(lambda: postgres.number(UNENDED) == 0, what="the end of each delivery")
    assert postgres.ask(GROUPS) == [(changes, changes)]
    assert listener.is_running
    assert worker.is_running


@on_postgres
def test_sigterm_ends_the_listener_while_postgresql_is_frozen(
    postgres, processes, simulator, tmp_path
):
    postgres.configure(simulator, "tests.remember", tmp_path)
    listener = postgres.listener(processes)
    listener.wait_for_output("subscribed")
    with postgres.frozen():
        simulator.create("Account", Name="Acme")

        assert listener.terminate() == 1, listener.output

    assert "not drained in time" in listener.output
    postgres.listener(processes)
    wait_for(lambda: postgres.number(ENTRIES) == 1, what="the recording by the next one")


@contextmanager
def locked():
    """Lock SQLite within the block, as a process stopped inside a transaction does."""
    with closing(sqlite3.connect(connection.settings_dict["NAME"], timeout=30)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.rollback()


@on_sqlite
def test_sigterm_ends_the_listener_while_sqlite_is_locked(processes, simulator, org_listener):
    listener = processes.listener()
    listener.wait_for_output("subscribed")
    with locked():
        simulator.create("Account", Name="Acme")

        assert listener.terminate() == 1, listener.output

    assert "not drained in time" in listener.output
    processes.listener()
    wait_for(lambda: AuditLogEntry.objects.count() == 1, what="the recording by the next one")


@on_postgres
def test_a_listener_waits_for_a_database_that_is_not_there_yet(processes):
    server = new_server()
    early = processes.listener(DATABASE_URL=server.url)
    early.wait_for_output("retrying after a database error")
    server.start()
    try:
        early.wait_for_output('relation \\"listeners_listener\\" does not exist')

        assert early.terminate() == 0, early.output
    finally:
        server.stop()


@on_sqlite
def test_a_listener_waits_for_tables_that_are_not_there_yet(processes, tmp_path: Path):
    url = {"DATABASE_URL": f"sqlite:///{tmp_path / 'new.sqlite3'}"}
    early = processes.listener("nobody", **url)
    early.wait_for_output("retrying after a database error")

    assert processes.born("manage.py", "migrate", "-v", "0", **url).wait() == 0

    assert early.wait() == 2
    assert "There is no listener 'nobody'" in early.output
