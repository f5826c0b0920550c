"""Classify database errors as transient or not, and describe them without data.

OperationalError   the server or the connection failed, or the server aborted the transaction: a
                   deadlock, a serialization failure, a lock timeout, a locked SQLite file, a lost
                   connection, a server that is starting, stopping or full
InterfaceError     the connection was closed
InternalError      the session is unusable: its transaction was aborted, is read-only, or was ended
                   by the server after idling too long
ProgrammingError   a mistake in the code, or a session whose settings, such as its schema, changed
"""

from __future__ import annotations

from django.db import InterfaceError, InternalError, OperationalError, ProgrammingError

#: The database did not execute the work.
UNAVAILABLE = (OperationalError, InterfaceError)
#: The session may be the cause: a new session may succeed.
SESSION = (InternalError, ProgrammingError)
#: The same work may succeed later, on a new connection.
TRANSIENT = (*UNAVAILABLE, InternalError)


def describe(error: Exception) -> str:
    """Return the error's message without the lines in which PostgreSQL quotes data.

    The data may be masked elsewhere for the people who read the message.
    """
    lines = [line for line in str(error).splitlines() if line.strip()]
    return " ".join(line for line in lines if line in lines[:1] or line.startswith("DETAIL:"))
