"""The database's errors: which of them pass by themselves, and what they say.

OperationalError   the server or the connection failed, or broke a transaction off: a deadlock, a
                   serialization failure, a lock timeout, a locked SQLite file, a lost connection, a
                   server that starts, ends or is full
InterfaceError     the connection was closed
InternalError      the session cannot go on: its transaction was aborted, is read-only, or stood
                   still for so long that the server ended it
ProgrammingError   a mistake, or a session whose settings were changed: it looks in another schema
"""

from __future__ import annotations

from django.db import InterfaceError, InternalError, OperationalError, ProgrammingError

#: The database did none of what it was asked for.
UNAVAILABLE = (OperationalError, InterfaceError)
#: The session may be to blame: a new one may do it.
SESSION = (InternalError, ProgrammingError)
#: The same work may succeed later, over a new connection.
TRANSIENT = (*UNAVAILABLE, InternalError)


def describe(error: Exception) -> str:
    """Return what is wrong, without the lines in which PostgreSQL quotes the data: in their errors
    people may read what is masked for them elsewhere."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return " ".join(line for line in lines if line in lines[:1] or line.startswith("DETAIL:"))
