"""What is where in a partitioned audit log."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from audit.models import AuditLogEntry
from audit.partitions.months import milliseconds
from audit.partitions.table import TABLE
from consumer.ingest import Ingested, Message, ingest
from tests.sample_data import change, lease_of

SPLIT_DAYS_AGO = 200
TABLES = (TABLE, "handlers_delivery", "audit_dirtyrecord", "audit_reconciliation")


def ago(days: float) -> datetime:
    return timezone.now() - timedelta(days=days)


def committed(at: datetime, record: str = "001A", **fields: Any) -> dict[str, Any]:
    """A message of a change that was committed then."""
    return change(records=[record], commitTimestamp=milliseconds(at), **fields)


def receive(listener, *messages, at: datetime | None = None, may_be_known=True) -> Ingested:
    """As the listener does, at some time."""
    heard = [Message(message, at or timezone.now()) for message in messages]
    mappings = list(listener.mappings.all())
    return ingest(listener, lease_of(listener), heard, mappings, may_be_known=may_be_known)


def rows_in(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM ONLY {table}")
        return cursor.fetchone()[0]


def tables() -> list[str]:
    """All that are of the audit log."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND starts_with(relname, %s)",
            [TABLE],
        )
        return [name for (name,) in cursor.fetchall()]


def schema() -> dict[str, Any]:
    """Columns, indexes, constraints and sequences as they are in the database."""
    found: dict[str, Any] = {}
    with connection.cursor() as cursor:
        for table in TABLES:
            constraints = connection.introspection.get_constraints(cursor, table)
            columns = connection.introspection.get_table_description(cursor, table)
            sequences = connection.introspection.get_sequences(cursor, table)
            found[table] = (constraints, sorted(columns), [one["column"] for one in sequences])
    return found


def entries() -> Sequence[dict[str, Any]]:
    return list(AuditLogEntry.objects.order_by("id").values())
