"""System checks: mirrored models, and configured mirrors whose model or database is gone.

The comparison with the org's objects is made when a mirror is added and loaded
(`mirror.schema.compare`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core import checks
from django.db import DatabaseError, connections, models

from mirror.schema.columns import Columns, NotMirrorable, columns_of, model_named


def register_all() -> None:
    # Without the tags models and database: the one is asked for alone by a migration, and the other
    # only on request.
    checks.register(check_models, "mirror")
    checks.register(check_mirrors, "mirror")


def check_models(**_: Any) -> list[checks.CheckMessage]:
    """Check each model that says `salesforce_object`."""
    return [
        message
        for model in apps.get_models()
        if isinstance(getattr(model, "salesforce_object", None), str)
        for message in _model_messages(model)
    ]


def _model_messages(model: type[models.Model]) -> Iterator[checks.CheckMessage]:
    try:
        columns = columns_of(model)
    except NotMirrorable as error:
        yield checks.Error(
            f"{error}",
            hint="manage.py inspect_salesforce writes a model with all that a mirror needs.",
            obj=model,
            id="mirror.E001",
        )
        return
    yield from _column_messages(columns)
    if not any(manager.name == "all_objects" for manager in model._meta.managers):
        yield checks.Warning(
            f"{columns.label} has no manager all_objects.",
            hint="Add all_objects = models.Manager(), which has deleted and incomplete rows too.",
            obj=model,
            id="mirror.W001",
        )


def _column_messages(columns: Columns) -> Iterator[checks.CheckMessage]:
    for column in columns.columns.values():
        where = f"{columns.label}.{column.name}"
        if not column.null and not column.has_default():
            yield checks.Error(
                f"{where} accepts no null and has no default.",
                hint="Any field of a record can be empty, or hidden from the connection's user: "
                "add null=True.",
                obj=column,
                id="mirror.E002",
            )
        if column.is_relation and getattr(column, "db_constraint", False):
            yield checks.Error(
                f"{where} has a constraint in the database, and parents arrive in any order.",
                hint="Add db_constraint=False, or use a CharField(max_length=18).",
                obj=column,
                id="mirror.E003",
            )
        if column.unique:
            yield checks.Warning(
                f"{where} is unique, so a row can be refused while two records exchange values.",
                hint="Salesforce keeps its values unique: use db_index=True.",
                obj=column,
                id="mirror.W002",
            )


def check_mirrors(**_: Any) -> list[checks.CheckMessage]:
    """Check the model and the database of each configured mirror."""
    from mirror.models import Mirror

    try:
        if Mirror._meta.db_table not in connections["default"].introspection.table_names():
            return []  # not migrated yet
        mirrors = list(Mirror.objects.all())
    except DatabaseError:
        return []  # other checks report a database that does not answer
    return [message for mirror in mirrors for message in _mirror_messages(mirror)]


def _mirror_messages(mirror: Any) -> Iterator[checks.CheckMessage]:
    removal = f"or remove the mirror: manage.py mirror remove {mirror.model}"
    try:
        model = model_named(mirror.model)
    except NotMirrorable as error:
        yield checks.Error(
            f"The mirror {mirror.model} does not work. {error}",
            hint=f"Install the app again, {removal}",
            id="mirror.E004",
        )
    else:
        name = getattr(model, "salesforce_object", None)
        if name is not None and name != mirror.salesforce_object:
            yield checks.Error(
                f"{mirror.model} says salesforce_object = {name!r}, and its mirror was added for "
                f"{mirror.salesforce_object}.",
                hint=f"Use the former object, {removal}",
                obj=model,
                id="mirror.E005",
            )
    if mirror.database not in connections:
        yield checks.Error(
            f"The mirror {mirror.model} is in the database {mirror.database!r}, which is not "
            "configured.",
            hint=f"Set DATABASE_URL_{mirror.database.upper()}, {removal}",
            id="mirror.E006",
        )
