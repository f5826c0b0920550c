"""What the sessions of a process on PostgreSQL wait for, and are waited for, at most.

Not in the settings: migrations, the admin and maintenance may take as long as they need. And no
`statement_timeout`: a statement that is slow now is as slow when it is tried again.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

#: The server finds out within 25 s that a machine is gone, and frees what it had locked; without
#: this it takes the system's two hours.
KEEPALIVES = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}

#: What these processes look for, an index finds, mostly in memory: with the server's default, which
#: takes a disk's head for granted, it reads tables of some 100,000 rows from end to end instead.
PLANS = {"random_page_cost": "1.1"}

#: A statement is planned for good once it was executed so often in a session.
EXECUTED_BEFORE = 5


def limit_sessions(*, idle_in_transaction: float, lock: float | None = None) -> None:
    """For every connection that this process makes from now on.

    idle_in_transaction   seconds that the server lets a transaction stand still; a process that was
                          paused inside one keeps what it locked from everybody else
    lock                  seconds to wait for a lock; then the statement fails and is tried again
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

    connection_created.connect(apply, weak=False, dispatch_uid="limit_sessions")


def _keep_plans(connection: Any) -> None:
    """Of what these processes execute over and over, and only of that (audit.db.prepared). Where
    the database's options say something else, they say it for a reason: a pooler may lose them."""
    if "prepare_threshold" not in connection.settings_dict["OPTIONS"]:
        connection.connection.prepare_threshold = EXECUTED_BEFORE


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f}"
