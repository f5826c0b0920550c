"""Database session settings that a handler may change and that would outlive its call.

Reading them costs a query, so they are read only around statements that can change them, not
around each call.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

#: The settings that decide which rows the worker's statements see, and how they may write.
_POSTGRESQL = (
    "role",
    "session_authorization",
    "search_path",
    "default_transaction_read_only",
    "transaction_read_only",
    "default_transaction_isolation",
    "default_transaction_deferrable",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "TimeZone",
    "DateStyle",
    "client_encoding",
    "session_replication_role",
    "row_security",
    "synchronous_commit",
)
_SQLITE = (
    "query_only",
    "foreign_keys",
    "ignore_check_constraints",
    "locking_mode",
    "busy_timeout",
    "synchronous",
)
_READ = "SELECT " + ", ".join(f"current_setting('{name}')" for name in _POSTGRESQL)

#: First words of an ORM's statements, which change no setting unless they call a function.
_PLAIN = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "SAVEPOINT", "RELEASE", "BEGIN")
_FIRST_WORD = re.compile(r"\s*(\w+)")
_FROM = re.compile(r"\bFROM\b", re.IGNORECASE)
_LOCAL = re.compile(
    r"\s*SET\s+(LOCAL|TRANSACTION|CONSTRAINTS)\b|.*set_config\([^;]*,\s*true\s*\)",
    re.IGNORECASE | re.DOTALL,
)
_ENDS_TRANSACTION = re.compile(
    r"\s*(COMMIT|END|ABORT|BEGIN|START\s+TRANSACTION|PREPARE\s+TRANSACTION"
    r"|ROLLBACK(?!\s+(WORK\s+|TRANSACTION\s+)?TO\b))\b",
    re.IGNORECASE,
)

Settings = dict[str, Any]


def may_change_settings(sql: str) -> bool:
    """Return whether a statement may change session settings.

    That is a command other than a plain query, several commands at once, or a function call without
    a table.
    """
    word = _FIRST_WORD.match(sql)
    if word is None or word[1].upper() not in _PLAIN or ";" in sql or "set_config" in sql:
        return True
    return word[1].upper() == "SELECT" and " FROM " not in sql and not _FROM.search(sql)


def is_local(sql: str) -> bool:
    """Return whether a statement's settings end with the transaction."""
    return bool(_LOCAL.match(sql))


def ends_transaction(sql: str) -> bool:
    """Return whether a statement begins or ends a transaction in SQL, bypassing Django."""
    return bool(_ENDS_TRANSACTION.match(sql))


def read(connection: Any) -> Settings | None:
    """Return the current settings, or None if they cannot be read."""
    if connection.connection is None:
        return None
    try:
        if connection.vendor == "postgresql":
            return dict(zip(_POSTGRESQL, _rows(connection, _READ)[0], strict=True))
        if connection.vendor == "sqlite":
            return {name: _rows(connection, f"PRAGMA {name}")[0][0] for name in _SQLITE}
    except connection.Database.Error:
        pass
    return None


def restore_locally(connection: Any, settings: Settings) -> bool:
    """Restore settings for the rest of the transaction; return False if the database refuses."""
    calls = ", ".join(["set_config(%s, %s, true)"] * len(settings))
    try:
        _rows(connection, f"SELECT {calls}", [part for pair in settings.items() for part in pair])
    except connection.Database.Error:
        return False
    return True


def _rows(connection: Any, sql: str, params: Sequence[Any] = ()) -> list[Any]:
    """Execute SQL on the driver, bypassing Django and the handler's own settings of the driver."""
    raw = connection.connection
    if connection.vendor == "postgresql":
        from psycopg import Cursor
        from psycopg.rows import tuple_row

        with Cursor(raw, row_factory=tuple_row) as cursor:
            return cursor.execute(sql, params).fetchall()
    cursor = raw.cursor()
    cursor.row_factory = None
    return list(cursor.execute(sql, params).fetchall())
