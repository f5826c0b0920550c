"""A session whose process was suspended while it copied rows is ended, and no other one."""

from contextlib import closing, suppress

import psycopg
import pytest
from django.db import connection

from audit.db.paused_copies import PausedCopies
from audit.models import AuditLogEntry
from handlers.models import Delivery
from tests.servers import wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no COPY"),
]

ENTRIES = "COPY audit_auditlogentry FROM STDIN"


@pytest.fixture
def session():
    """Another process's database session, inside a transaction."""
    with closing(connection.copy()) as other:
        other.set_autocommit(False)
        yield other.connection


def of_session(session, sql):
    with connection.cursor() as cursor:
        cursor.execute(f"{sql} WHERE pid = %s", [session.info.backend_pid])
        return cursor.fetchone()


def progress(session):
    return of_session(session, "SELECT bytes_processed FROM pg_stat_progress_copy")


def is_there(session):
    return of_session(session, "SELECT 1 FROM pg_stat_activity") is not None


def test_it_is_ended_after_the_time_limit_and_named_in_the_log(session, caplog):
    copies = PausedCopies([Delivery, AuditLogEntry], 8.0)
    with suppress(psycopg.OperationalError), session.cursor().copy(ENTRIES):
        wait_for(lambda: is_waiting(session), what="the COPY")
        copies.end(0.0)
        copies.end(7.9)
        assert caplog.messages == []

        copies.end(8.0)

        assert str(session.info.backend_pid) in caplog.text
        wait_for(lambda: not is_there(session), what="the end of the session")


def test_a_copy_that_makes_progress_goes_on(session, caplog):
    copies = PausedCopies([AuditLogEntry], 8.0)
    with suppress(psycopg.Error), session.cursor().copy(ENTRIES) as copy:
        for now in (0.0, 7.0, 14.0, 21.0):
            before = progress(session)
            copy.write("x" * 200_000)  # more than is read at once
            wait_for(lambda: progress(session) > before, what="progress")  # noqa: B023
            wait_for(lambda: is_waiting(session), what="the COPY")
            copies.end(now)
    assert caplog.messages == []


def test_copies_into_other_tables_are_left_alone(session, caplog):
    copies = PausedCopies([Delivery], 8.0)
    with suppress(psycopg.OperationalError), session.cursor().copy(ENTRIES):
        wait_for(lambda: is_waiting(session), what="the COPY")
        copies.end(0.0)
        copies.end(8.0)
    assert caplog.messages == []


def is_waiting(session):
    activity = of_session(session, "SELECT wait_event FROM pg_stat_activity")
    return activity == ("ClientRead",) and progress(session) is not None
