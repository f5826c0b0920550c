"""Checks that a handler's call left this thread's database connections unchanged.

A worker reuses the connections. A transaction that a handler leaves open would keep the next claims
uncommitted and their rows locked; a read-only session would refuse them. A changed connection is
closed, which rolls back uncommitted work, and the attempt fails with the reason.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.db import connections

from handlers.worker import session_settings

#: libpq's PQtransactionStatusType.
_IDLE, _ACTIVE, _IN_TRANSACTION, _IN_ERROR, _UNKNOWN = range(5)


class ConnectionGuard:
    """Create it before a handler's call, and call `changes` once after it."""

    def __init__(self) -> None:
        self._watched = [
            _Watched(connection) for connection in connections.all(initialized_only=True)
        ]

    def changes(self, *, raised: bool = False) -> str:
        """Return what the handler changed and did not restore, or "".

        If it `raised` an exception, its transaction may be aborted: it is rolled back anyway.
        Afterwards the connections are usable again.
        """
        known = {id(watched.connection) for watched in self._watched}
        opened = connections.all(initialized_only=True)
        all_watched = [
            *self._watched,
            *(
                _Watched(connection, new=True)
                for connection in opened
                if id(connection) not in known
            ),
        ]
        reasons = (watched.change(raised=raised) for watched in all_watched)
        return "; ".join(reason for reason in reasons if reason)


class _Watched:
    """One connection and its state before the call."""

    def __init__(self, connection: Any, *, new: bool = False) -> None:
        """`new` means that the handler created the connection.

        The expected state of a connection that is not open yet comes from its settings.
        """
        self.connection = connection
        self._raw = connection.connection
        self._in_atomic = connection.in_atomic_block and not new
        self._savepoints = [] if new else list(connection.savepoint_ids)
        self._blocks = [] if new else list(connection.atomic_blocks)
        is_open = self._raw is not None and not new
        self._autocommit = (
            connection.autocommit if is_open else connection.settings_dict["AUTOCOMMIT"]
        )
        self._traits = None if new else _traits(self._raw)
        self._wrappers = connection.execute_wrappers
        self._settings: session_settings.Settings | None = None
        self._is_local = True
        self._ended_by_sql = False
        self._may_be_aborted = False
        if not new:
            connection.execute_wrappers = [*self._wrappers, self._note]

    def _note(self, execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        """Inspect and execute a statement that the handler sends through Django."""
        text = str(sql)
        if session_settings.may_change_settings(text):
            if self._settings is None:
                self._settings = session_settings.read(self.connection)
            self._is_local = self._is_local and session_settings.is_local(text)
        if self._in_atomic and session_settings.ends_transaction(text):
            self._ended_by_sql = True
        return execute(sql, params, many, context)

    def change(self, *, raised: bool) -> str:
        """Return what was changed. A changed connection is closed and reopens on its next use."""
        self.connection.execute_wrappers = self._wrappers
        self._may_be_aborted = raised and self._in_atomic
        if reason := self._transaction_change() or self._settings_change():
            self._reset()
            return f"the handler {reason} on database {self.connection.alias!r}"
        return ""

    # Detecting changes

    def _transaction_change(self) -> str:
        connection = self.connection
        if connection.closed_in_transaction:
            return "closed the connection inside its transaction"
        if connection.connection is None:
            return ""  # closing the connection is allowed
        if connection.in_atomic_block != self._in_atomic:
            return "ended the transaction that it ran in" if self._in_atomic else _LEFT_OPEN
        if connection.savepoint_ids != self._savepoints or connection.atomic_blocks != self._blocks:
            return "left an inner transaction.atomic() open"
        if connection.in_atomic_block and connection.needs_rollback and not self._may_be_aborted:
            return (
                "marked its transaction for rollback (by set_rollback, or a database error that "
                "it caught inside of it)"
            )
        return self._driver_change()

    def _driver_change(self) -> str:
        """Return what was changed in the driver's state."""
        raw, vendor = self.connection.connection, self.connection.vendor
        is_same = raw is self._raw
        if hasattr(raw, "pgconn"):
            reason = self._status_change(raw)
        elif vendor == "sqlite":
            reason = self._sqlite_change(raw)
        else:
            reason = ""
        if reason:
            return reason
        if self.connection.autocommit != self._autocommit:
            return "left autocommit off"
        if is_same and self._traits is not None and _traits(raw) != self._traits:
            return "changed how transactions begin"
        return ""

    def _status_change(self, raw: Any) -> str:
        status = raw.pgconn.transaction_status
        if self._ended_by_sql:
            return "ended the transaction that it ran in"
        if status == _IDLE or (status == _IN_TRANSACTION and self._in_atomic):
            return "left pipeline mode on" if raw.pgconn.pipeline_status else ""
        if status == _ACTIVE:
            return "left results unread"
        if status == _UNKNOWN:
            return "closed or lost the connection"
        if status == _IN_ERROR:
            return "" if self._may_be_aborted else _LEFT_ABORTED
        return _LEFT_OPEN

    def _sqlite_change(self, raw: Any) -> str:
        try:
            in_transaction = raw.in_transaction
        except self.connection.Database.ProgrammingError:
            return "closed the connection"
        if in_transaction == self._in_atomic:
            return ""
        return "ended the transaction that it ran in" if self._in_atomic else _LEFT_OPEN

    def _settings_change(self) -> str:
        is_restored_by_rollback = self._may_be_aborted and self.connection.vendor == "postgresql"
        if self._settings is None or self.connection.connection is None or is_restored_by_rollback:
            return ""
        now = session_settings.read(self.connection)
        if now is None:
            return "left the session unusable"
        changed = {name: was for name, was in self._settings.items() if now[name] != was}
        if not changed:
            return ""
        if self._in_atomic and "transaction_read_only" in changed:
            return "made its transaction read-only"
        if self._in_atomic and self._is_local:
            is_restored = session_settings.restore_locally(self.connection, changed)
            return "" if is_restored else "left the session unusable"
        named = ", ".join(f"{name} = {now[name]}" for name in changed)
        return f"changed the session ({named}; use SET LOCAL inside transaction.atomic())"

    # Restoring the connection

    def _reset(self) -> None:
        connection = self.connection
        is_of_test = any(getattr(block, "_from_testcase", False) for block in self._blocks)
        if not is_of_test:
            _close(connection)
        connection.in_atomic_block = self._in_atomic
        connection.savepoint_ids = list(self._savepoints)
        connection.atomic_blocks = list(self._blocks)
        if not self._in_atomic:
            connection.closed_in_transaction = False
            connection.close()
        elif not is_of_test:
            # The surrounding atomic block then leaves the rollback to the database.
            connection.closed_in_transaction = connection.needs_rollback = True


_LEFT_OPEN = "left a transaction open"
_LEFT_ABORTED = "left a transaction open, after a database error that it caught,"


def _traits(raw: Any) -> tuple[Any, ...]:
    """Return the driver's settings that decide how transactions begin."""
    if raw is None:
        return ()
    names = ("autocommit", "isolation_level", "read_only", "deferrable")
    return tuple(getattr(raw, name, None) for name in names)


def _close(connection: Any) -> None:
    """Close the driver's connection. A pool does not reuse a closed connection."""
    if connection.connection is None:
        return
    with suppress(Exception):
        if connection.vendor == "sqlite" and connection.is_in_memory_db():
            connection.connection.rollback()  # closing would drop the database
        else:
            connection.connection.close()
