"""A migration that builds indexes of large tables locks nobody out, and can be interrupted."""

from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

pytestmark = pytest.mark.django_db(transaction=True)

NEW = {"entry_user", "entry_committed", "entry_not_update", "delivery_handler"}


def indexes() -> dict[str, list[str]]:
    found: dict[str, Any] = {}
    with connection.cursor() as cursor:
        for table in ("audit_auditlogentry", "handlers_delivery"):
            found |= connection.introspection.get_constraints(cursor, table)
    return {name: one["columns"] for name, one in found.items() if one["index"]}


def test_an_interrupted_migration_of_indexes_is_run_again():
    migrated = indexes()
    assert migrated.keys() >= NEW
    try:
        call_command("migrate", "audit", "0003", verbosity=0)
        assert indexes().keys().isdisjoint(NEW)
        assert indexes()["entry_received"] == ["received_at"]
        with connection.cursor() as cursor:
            cursor.execute("DROP INDEX entry_record")
            cursor.execute("CREATE INDEX entry_user ON audit_auditlogentry (commit_user)")
    finally:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            call_command("migrate", verbosity=0)

    assert indexes() == migrated
    if connection.vendor == "postgresql":
        statements = [query["sql"] for query in captured if "entry_user" in query["sql"]]
        assert statements
        assert all("CONCURRENTLY" in statement for statement in statements)
