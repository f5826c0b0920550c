"""Makes a table refuse rows."""

from contextlib import contextmanager

from django.db import connection


@contextmanager
def refusing(name: str):
    """Let the table of accounts refuse a name within the block."""
    is_postgres = connection.vendor == "postgresql"
    if is_postgres:
        check = f"ALTER TABLE crm_account ADD CONSTRAINT no CHECK (name <> '{name}')"
    else:
        check = (
            "CREATE TRIGGER no BEFORE INSERT ON crm_account "
            f"WHEN new.name = '{name}' BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
    with connection.cursor() as cursor:
        cursor.execute(check)
        try:
            yield
        finally:
            undo = "ALTER TABLE crm_account DROP CONSTRAINT no"
            cursor.execute(undo if is_postgres else "DROP TRIGGER no")
