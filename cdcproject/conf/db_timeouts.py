"""Timeouts and planner options of a process's PostgreSQL sessions.

They are not in the settings, so that migrations, the console and maintenance have no limits. There
is no `statement_timeout`: a slow statement would be just as slow when it is retried.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

#: With these the server detects a lost client within 25 s and releases its locks, instead of after
#: the operating system's two hours.
KEEPALIVES = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}

#: These processes use indexes that are mostly in memory. With the server's default, which assumes a
#: spinning disk, the planner would scan tables of some 100,000 rows instead.
PLANS = {"random_page_cost": "1.1"}

#: Executions in a session after which a statement is prepared.
EXECUTED_BEFORE = 5


def limit_sessions(*, idle_in_transaction: float, lock: float | None = None) -> None:
    """Apply the options to every connection that this process opens from now on, in place of those
    of an earlier call.

    idle_in_transaction   seconds that a transaction may idle until the server ends it: a paused
                          process would keep its locks. 0: no limit
    lock                  seconds to wait for a lock; then the statement fails and is retried
    """
    limits = {
        **KEEPALIVES,
        **PLANS,
        "idle_in_transaction_session_timeout": _ms(idle_in_transaction),
    }
    if lock is not None:
        limits["lock_timeout"] = _ms(lock)

    def apply(connection: BaseDatabaseWrapper, **_: Any) -> None:
        if connection.vendor != "postgresql":
            return
        _keep_plans(connection)
        calls = ", ".join(["set_config(%s, %s, false)"] * len(limits))
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {calls}", [part for pair in limits.items() for part in pair])

    connection_created.disconnect(dispatch_uid="limit_sessions")
    connection_created.connect(apply, weak=False, dispatch_uid="limit_sessions")


def _keep_plans(connection: Any) -> None:
    """Prepare repeated statements, unless the database's options disable that, as for a pooler.

    Only `audit.db.prepared` executes such statements.
    """
    if "prepare_threshold" not in connection.settings_dict["OPTIONS"]:
        connection.connection.prepare_threshold = EXECUTED_BEFORE


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f}"
