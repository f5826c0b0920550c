"""Indexes of large tables, changed by a migration while listeners and workers write on.

For migrations with `atomic = False`. One that was interrupted is run again: what it left is
dropped first.
"""

from __future__ import annotations

from typing import Any

from django.db import router
from django.db.migrations import AddField, AddIndex, AlterField, RemoveIndex
from django.db.models import Index


class AddIndexOnline(AddIndex):
    atomic = False

    def database_forwards(self, app_label: str, editor: Any, before: Any, after: Any) -> None:
        _build(after.apps.get_model(app_label, self.model_name), self.index, editor)

    def database_backwards(self, app_label: str, editor: Any, before: Any, after: Any) -> None:
        _drop(before.apps.get_model(app_label, self.model_name), self.index.name, editor)


class RemoveIndexOnline(RemoveIndex):
    atomic = False

    def database_forwards(self, app_label: str, editor: Any, before: Any, after: Any) -> None:
        _drop(before.apps.get_model(app_label, self.model_name), self.name, editor)

    def database_backwards(self, app_label: str, editor: Any, before: Any, after: Any) -> None:
        index = after.models[app_label, self.model_name_lower].get_index_by_name(self.name)
        _build(after.apps.get_model(app_label, self.model_name), index, editor)


class AddFieldAtOnce(AddField):
    """In a transaction of its own: SQLite makes the table anew, and what another process wrote into
    the old one meanwhile would be gone. A column that an interrupted migration left stays."""

    atomic = True

    def database_forwards(self, app_label: str, editor: Any, before: Any, after: Any) -> None:
        model = after.apps.get_model(app_label, self.model_name)
        if not _has_column(model, model._meta.get_field(self.name).column, editor):
            super().database_forwards(app_label, editor, before, after)

    def database_backwards(self, app_label: str, editor: Any, before: Any, after: Any) -> None:
        model = before.apps.get_model(app_label, self.model_name)
        if editor.collect_sql or _has_column(
            model, model._meta.get_field(self.name).column, editor
        ):
            super().database_backwards(app_label, editor, before, after)


class AlterFieldAtOnce(AlterField):
    """In a transaction of its own, for the same reason."""

    atomic = True


def _build(model: Any, index: Index, editor: Any) -> None:
    if not router.allow_migrate_model(editor.connection.alias, model):
        return
    _drop(model, index.name, editor)
    editor.add_index(model, index, **_concurrently(editor))


def _drop(model: Any, name: str, editor: Any) -> None:
    """Whether it is there or not."""
    if router.allow_migrate_model(editor.connection.alias, model):
        how = "CONCURRENTLY " if _concurrently(editor) else ""
        editor.execute(f"DROP INDEX {how}IF EXISTS {editor.quote_name(name)}")


def _concurrently(editor: Any) -> dict[str, bool]:
    return {"concurrently": True} if editor.connection.vendor == "postgresql" else {}


def _has_column(model: Any, column: str, editor: Any) -> bool:
    """False where the statements are only listed."""
    if editor.collect_sql:
        return False
    with editor.connection.cursor() as cursor:
        found = editor.connection.introspection.get_table_description(cursor, model._meta.db_table)
    return any(one.name == column for one in found)
