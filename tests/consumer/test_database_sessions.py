"""Database sessions on PostgreSQL have limits on lock waits and on idle transactions."""

import pytest
from django.db import connection
from django.db.backends.signals import connection_created

from cdcproject.celery import limit_database_sessions
from cdcproject.conf.db_timeouts import limit_sessions

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no sessions"),
]


@pytest.fixture(autouse=True)
def _unlimited_again():
    connection.close()
    yield
    connection_created.disconnect(dispatch_uid="limit_sessions")
    connection.close()


def shown(*names: str) -> list[str]:
    with connection.cursor() as cursor:
        return [cursor.execute(f"SHOW {name}").fetchone()[0] for name in names]


def test_limits_hold_for_every_new_session():
    limit_sessions(idle_in_transaction=8.0, lock=10.0)

    limits = shown("idle_in_transaction_session_timeout", "lock_timeout", "tcp_keepalives_idle")

    assert limits == ["8s", "10s", "10"]


def test_without_limits_the_admin_and_migrations_wait_as_long_as_they_need():
    assert shown("idle_in_transaction_session_timeout", "lock_timeout") == ["0", "0"]


def test_a_workers_transaction_may_last_as_long_as_a_run_and_wait_for_any_lock(settings):
    settings.CDC_RUN_SECONDS = 300
    limit_database_sessions()

    assert shown("idle_in_transaction_session_timeout", "lock_timeout") == ["330s", "0"]
