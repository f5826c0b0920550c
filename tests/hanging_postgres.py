"""A line to PostgreSQL on which new connections get no answer."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connections

from tests.line import Line


@contextmanager
def hanging_postgres() -> Iterator[None]:
    """Let no new connection of this process to the database be answered. They end afterwards.

    Tests that run at the same time share the server, so it goes on.
    """
    settings = connections.settings["default"]
    # Longer than any test waits: a connection that gives up would no longer hang.
    options = {**settings["OPTIONS"], "connect_timeout": 600}
    with Line(int(settings["PORT"] or 5432)) as line, pytest.MonkeyPatch.context() as patch:
        line.freeze()
        for name, value in (("HOST", "127.0.0.1"), ("PORT", str(line.port)), ("OPTIONS", options)):
            patch.setitem(settings, name, value)
        yield
