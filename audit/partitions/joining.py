"""The audit log becomes one table again, as the migrations make it.

ListenersRun   a listener holds its lease; nothing was changed
HalfPruned     a part was taken out and is not dropped yet; nothing was changed
"""

from __future__ import annotations

from typing import Any

from django.db import connection, transaction
from django.db.models.functions import Now

from audit.models import AuditLogEntry
from audit.partitions import grants
from audit.partitions.obstacles import referring
from audit.partitions.table import TABLE, columns, gone, last_id, quoted, rows, run
from listeners.models import Position

_SPLIT = f"{TABLE}_split"
_INDEXES = """
SELECT relname FROM pg_index JOIN pg_class c ON c.oid = indexrelid
WHERE indrelid = to_regclass(%s)
"""
_CHECKS = """
SELECT conname FROM pg_constraint WHERE conrelid = to_regclass(%s) AND contype = 'c'
"""


class ListenersRun(Exception):
    """Stop the listeners first: rows are copied, and nothing can be recorded meanwhile."""


class HalfPruned(Exception):
    """A pruning was broken off: run `prune_audit_log` once more, to the end."""


def join() -> int:
    """Copy every row; how many. One transaction, never inside another; nobody else reads the audit
    log meanwhile. It is killed without a trace."""
    with transaction.atomic(durable=True):
        list(Position.objects.order_by("pk").select_for_update().values_list("pk"))
        if held := list(Position.objects.filter(lease_until__gt=Now()).values_list("holder")):
            raise ListenersRun(
                f"{ListenersRun.__doc__} Run by: {', '.join(one for (one,) in held)}"
            )
        if gone():
            raise HalfPruned(HalfPruned.__doc__)
        run(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
        names, last = columns(), last_id()
        _step_aside()
        copied = _copy(names)
        run(f"ALTER TABLE {TABLE} ALTER id RESTART WITH {last + 1}")
        grants.copy(_SPLIT, TABLE)
        run(f"DROP TABLE {_SPLIT}")
    run(f"ANALYZE {TABLE}")
    return copied


def _step_aside() -> None:
    """Whoever takes its place has its names."""
    names = [name for (name,) in rows(_INDEXES, [TABLE])]
    checks = [quoted(name) for (name,) in rows(_CHECKS, [TABLE])]
    run(
        f"ALTER TABLE {TABLE} RENAME TO {_SPLIT}",
        f"ALTER TABLE {_SPLIT} ALTER id DROP IDENTITY",
        *(f"ALTER TABLE {_SPLIT} DROP CONSTRAINT {name}" for name in checks),
        *(f"ALTER INDEX {quoted(name)} RENAME TO {quoted(name[:57] + '_split')}" for name in names),
    )


def _copy(names: str) -> int:
    """Indexes are built once all rows are there."""
    editor: Any
    with connection.schema_editor(atomic=False) as editor:
        editor.create_model(AuditLogEntry)
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {TABLE} ({names}) SELECT {names} FROM {_SPLIT} ORDER BY id"
            )
            copied = cursor.rowcount
        for field in referring():
            suffix = "_fk_%(to_table)s_%(to_column)s"
            editor.deferred_sql.append(editor._create_fk_sql(field.model, field, suffix))
    return int(copied)
