"""What in a migration an older version of the product would stumble over, that runs beside it while
an upgrade goes on or after it was taken back; and what would hold the writers of a large table up.

Each finding names the operation and says why; `test_migrations_are_additive.py` refuses those that
it does not list.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import models
from django.db.migrations import Migration, operations
from django.db.migrations.state import ProjectState
from django.db.models.fields import NOT_PROVIDED

from audit.index_operations import AddIndexOnline, RemoveIndexOnline

#: Tables that grow with every change.
LARGE = {
    ("audit", "auditlogentry"),
    ("handlers", "delivery"),
    ("handlers", "deliveryattempt"),
}
_ONLINE = (AddIndexOnline, RemoveIndexOnline)
_GONE = (
    operations.RemoveField,
    operations.RenameField,
    operations.DeleteModel,
    operations.RenameModel,
    operations.AlterModelTable,
)
_BINDING = (
    operations.AddConstraint,
    operations.AlterUniqueTogether,
    operations.AlterOrderWithRespectTo,
)
#: What they do to the tables is not seen here.
_OPAQUE = (operations.RunSQL, operations.SeparateDatabaseAndState)
_STATE_ONLY = (
    operations.AlterModelOptions,
    operations.AlterModelManagers,
    operations.AlterModelTableComment,
)


def findings(migration: Migration, before: ProjectState) -> Iterator[str]:
    """Of a migration, on the state before it. Over what it does to a table that it has made itself
    nobody stumbles."""
    made: set[str] = set()
    for operation in migration.operations:
        after = before.clone()
        operation.state_forwards(migration.app_label, after)
        name = getattr(operation, "model_name", getattr(operation, "name", "")).lower()
        if isinstance(operation, operations.CreateModel):
            made.add(name)
        elif name not in made:
            old, new = _fields(migration, operation, before), _fields(migration, operation, after)
            is_large = (migration.app_label, name) in LARGE
            found = [*_incompatible(operation, old, new), *_locking(operation, new, is_large)]
            yield from (f"{operation.describe()}: {why}" for why in found)
        found = [*_referring(operation), *_unsafe(migration, operation)]
        yield from (f"{operation.describe()}: {why}" for why in found)
        before = after


def _fields(migration, operation, state: ProjectState) -> models.Field[Any, Any] | None:
    model = state.models.get((migration.app_label, getattr(operation, "model_name_lower", "")))
    return model.fields.get(operation.name) if model and hasattr(operation, "field") else None


def _incompatible(operation, old, new) -> Iterator[str]:
    if isinstance(operation, _GONE):
        yield "an older version still asks for it"
    if isinstance(operation, _BINDING):
        yield "what an older version writes may break it"
    if isinstance(operation, operations.RemoveConstraint):
        yield "an older version may count on it, in ON CONFLICT say"
    if isinstance(operation, operations.AddField) and not _may_be_left_out(new):
        yield "an older version inserts rows without it: give it a db_default"
    if isinstance(operation, operations.AlterField):
        yield from _narrowed(old, new)


def _may_be_left_out(field: models.Field[Any, Any]) -> bool:
    return field.null or field.many_to_many or field.db_default is not NOT_PROVIDED


def _narrowed(old: models.Field[Any, Any], new: models.Field[Any, Any]) -> Iterator[str]:
    if old.get_internal_type() != new.get_internal_type():
        yield "another type"
    if old.null and not new.null:
        yield "an older version may write NULL"
    if new.unique and not old.unique:
        yield "an older version may write a value twice"
    if old.unique and not new.unique:
        yield "an older version may count on its being unique, in ON CONFLICT say"
    if _may_be_left_out(old) and not _may_be_left_out(new):
        yield "an older version may insert rows without it"
    if (new.max_length or 1 << 31) < (old.max_length or 1 << 31):
        yield "shorter than what an older version may write"
    if old.choices and new.choices and (gone := dict(old.choices).keys() - dict(new.choices)):
        yield f"an older version may write {', '.join(sorted(map(str, gone)))}"


def _locking(operation, new, is_large: bool) -> Iterator[str]:
    if not is_large or isinstance(operation, _ONLINE):
        return
    if isinstance(operation, (operations.AddIndex, operations.RemoveIndex)):
        yield "writers of a large table wait for it: take AddIndexOnline, RemoveIndexOnline"
    if isinstance(operation, operations.AddConstraint):
        yield "writers of a large table wait until all of it is checked"
    if isinstance(operation, operations.AlterField) and new.is_relation:
        yield "PostgreSQL makes its foreign key anew, and checks it while writers wait"
    if isinstance(operation, operations.AddField) and (new.db_index or new.unique):
        yield "its index holds the writers of a large table up: db_index=False, AddIndexOnline"


def _referring(operation) -> Iterator[str]:
    named = dict(getattr(operation, "fields", ()))
    for field in [*named.values(), *filter(None, [getattr(operation, "field", None)])]:
        target = field.remote_field.model if field.is_relation else ""
        if str(target).lower() == "audit.auditlogentry" and field.db_constraint:
            yield "a partitioned audit log can't be referred to by id: db_constraint=False"


def _unsafe(migration: Migration, operation) -> Iterator[str]:
    if isinstance(operation, _OPAQUE):
        yield "what it does to the tables is not seen here: look, and list it"
    if not operation.reversible:
        yield "it cannot be taken back"
    is_alone = operation.atomic or isinstance(operation, (*_ONLINE, *_STATE_ONLY))
    if not migration.atomic and not is_alone:
        yield "outside a transaction SQLite loses what is written meanwhile: take AddFieldAtOnce"
