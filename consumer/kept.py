"""What takes a while to read, read for many that ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import structlog
from django.db import Error, connection

from consumer.home.shared import Shared
from consumer.question import Question

log = structlog.get_logger(__name__)

#: Whoever asks waits so long at most: less than a scrape may take.
PATIENCE_SECONDS = 4.0
#: For so long what was read is as good as new.
KEPT_SECONDS = 5.0

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """Read from a database that may hang, on a connection that is given back after it."""

    def __init__(self, read: Callable[[], Value], name: str) -> None:
        """`read` may raise the database's errors; `name`: the thread's."""
        self._read = read
        self._name = name
        self._shared: Shared[Value] = Shared(KEPT_SECONDS)
        self._question: Question[Value | None] = Question(self._ask, failed=None, name=name)

    def latest(self) -> Value | None:
        """None: it could not be read, or not in time."""
        return self._question.answer(self._question.begin(), PATIENCE_SECONDS, late=None)

    def _ask(self) -> Value | None:
        try:
            return self._shared.get(self._name, self._read)
        except Error as error:
            log.warning("not read", what=self._name, reason=str(error).strip())
            return None
        finally:
            connection.close()
