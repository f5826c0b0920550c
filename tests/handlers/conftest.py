import pytest
from django.db import connection

from listeners import clock
from tests.handlers.leaving import KEPT
from tests.mirrored import make_follower, make_mirror


@pytest.fixture(autouse=True)
def _unhurried(unhurried):
    """Let all tests of handlers be slow."""


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
