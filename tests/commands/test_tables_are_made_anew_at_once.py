"""SQLite changes a field by making its table anew: what others write meanwhile must not be lost."""

import pytest
from django.core.management import call_command
from django.db import connection

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL changes the table itself"),
]


def test_nobody_writes_into_a_table_that_is_about_to_go():
    dropped: dict[str, bool] = {}

    def watch(execute, sql, params, many, context):
        if sql.startswith("DROP TABLE"):
            table = sql.split('"')[1]
            dropped[table] = connection.in_atomic_block and dropped.get(table, True)
        return execute(sql, params, many, context)

    call_command("migrate", "handlers", "0006", verbosity=0)
    try:
        with connection.execute_wrapper(watch):
            call_command("migrate", verbosity=0)
    finally:
        call_command("migrate", verbosity=0)

    assert dropped.keys() > {
        "handlers_delivery",
        "handlers_deliveryattempt",
        "handlers_handlermapping",
    }
    assert all(dropped.values())
