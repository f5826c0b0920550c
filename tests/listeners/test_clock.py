"""A process's estimate of the database's clock is not ahead of it."""

import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import connection
from django.db.backends.signals import connection_created
from django.utils import timezone

from listeners.clock import DatabaseClock


@pytest.fixture
def slow_to_connect(transactional_db, monkeypatch):
    """Let connecting take an hour of the process's clock."""
    waits = []

    def wait(**_):
        waits.append(3600)

    slow = SimpleNamespace(monotonic=lambda: time.monotonic() + sum(waits))
    monkeypatch.setattr("listeners.clock.time", slow)
    connection.close()
    connection_created.connect(wait)
    yield
    connection_created.disconnect(wait)


@pytest.mark.usefixtures("slow_to_connect")
def test_the_time_that_connecting_takes_does_not_put_it_ahead():
    """An estimate that is ahead would make valid claims look expired."""
    clock = DatabaseClock()

    clock.read()

    assert clock.estimate() < timezone.now() + timedelta(minutes=10)
