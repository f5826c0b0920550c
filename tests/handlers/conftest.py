import pytest
from django.db import connection

from handlers.worker import atomic_runs, claim, message_run
from listeners import clock
from tests.handlers.leaving import KEPT
from tests.mirrored import make_follower, make_mirror


@pytest.fixture(autouse=True)
def unhurried(monkeypatch):
    """Lift the time limits of messages and claims, and forget the handlers' run times: a loaded
    machine is slow. A handler's first claim is of one delivery, the next of two, then of four."""
    monkeypatch.setattr(claim, "_run_times", {})
    monkeypatch.setattr(claim, "CLAIM_SECONDS", 600)
    monkeypatch.setattr(message_run, "MESSAGE_SECONDS", 600)
    monkeypatch.setattr(message_run, "ALONE_SECONDS", 600)
    monkeypatch.setattr(message_run, "LATE_SECONDS", 600)
    monkeypatch.setattr(atomic_runs, "_apart_until", {})
    monkeypatch.setattr(atomic_runs, "CLAIM_SECONDS", 600)
    monkeypatch.setattr(atomic_runs, "LATE_SECONDS", 600)


@pytest.fixture
def clock_just_read(db, monkeypatch):
    """Let no test read the database's clock while it counts statements."""
    monkeypatch.setattr(clock, "READ_EVERY", 3600.0)
    clock.database_clock.read()


@pytest.fixture
def connection_closed_after():
    """Close and reset the connection after a test, whatever its state."""
    yield
    KEPT.clear()
    if connection.connection is not None:
        connection.connection.close()
    connection.in_atomic_block = connection.closed_in_transaction = False
    connection.close()


@pytest.fixture
def mirror(listener):
    return make_mirror(listener)


@pytest.fixture
def followed(listener, mirror):
    """A listener with a mirror, and a handler of updates that runs after it."""
    make_follower(listener)
    return listener
