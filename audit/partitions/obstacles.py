"""What the audit log can't be partitioned with, or made one table again."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from audit.models import AuditLogEntry
from audit.partitions.table import TABLE, rows

#: What follows the table itself and not its name, or what a partitioned one can't have.
_DEPENDENT = """
SELECT format('the view %%s reads it: drop the view, and create it again afterwards',
    view.ev_class::regclass)
FROM pg_depend d JOIN pg_rewrite view ON view.oid = d.objid
WHERE d.refobjid = %(table)s::regclass AND d.classid = 'pg_rewrite'::regclass
UNION
SELECT format('it has the trigger %%s: drop it, and create it again afterwards', tgname)
FROM pg_trigger WHERE tgrelid = %(table)s::regclass AND NOT tgisinternal
UNION
SELECT format('it is in the publication %%s: take it out, and add it again afterwards', pubname)
FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
WHERE r.prrelid = %(table)s::regclass
UNION
SELECT 'it has row level security: disable it, and enable it again afterwards'
FROM pg_class WHERE oid = %(table)s::regclass AND relrowsecurity
UNION
SELECT format('the role %%s owns it, and not %%s: run this as that one', pg_get_userbyid(relowner),
    current_user)
FROM pg_class WHERE oid = %(table)s::regclass AND NOT pg_has_role(relowner, 'MEMBER')
UNION
SELECT format('the unique index %%s is not one of this product: drop it', indexrelid::regclass)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE indrelid = %(table)s::regclass AND indisunique AND NOT indisprimary
AND relname NOT LIKE 'entry\\_identity%%' AND relname NOT LIKE 'entry\\_by\\_id%%'
ORDER BY 1
"""
_REFERRING = """
SELECT conrelid::regclass::text, conname FROM pg_constraint
WHERE confrelid = to_regclass(%s) AND contype = 'f' AND conparentid = 0 ORDER BY 1, 2
"""


def obstacles() -> list[str]:
    """Each a sentence that says what to do. None: nothing is in the way."""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return ["migrations have not been applied: run `manage.py migrate`"]
    with connection.cursor() as cursor:
        cursor.execute(_DEPENDENT, {"table": TABLE})
        found = [text for (text,) in cursor.fetchall()]
    strangers = [one for one in foreign_keys() if one[0] not in _own()]
    return found + [
        f"{table} refers to it by {name}: drop that constraint; nothing can refer to a "
        "partitioned audit log by its id alone"
        for table, name in strangers
    ]


def foreign_keys() -> list[tuple[str, str]]:
    """Of other tables that refer to the audit log: the table and the constraint."""
    return [(table.strip('"'), name) for table, name in rows(_REFERRING, [TABLE])]


def _own() -> set[str]:
    return {field.model._meta.db_table for field in referring()}


def referring() -> list[Any]:
    """The product's fields that do."""
    return [
        one.field
        for one in AuditLogEntry._meta.related_objects
        if one.related_model._meta.app_label in ("audit", "handlers")
    ]
