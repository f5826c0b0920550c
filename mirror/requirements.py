"""The requirements of a mirror: a mirrorable model, its table, and a readable object.

Refused   a requirement is not met; the message says which, and what to do
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import connections
from django.db.utils import DatabaseError

from handlers.listener_rest_client import CANNOT_READ, rest_of
from listeners.models import Listener
from listeners.salesforce.channel import entity_of
from listeners.salesforce.errors import RestRefused
from mirror.models import Mirror
from mirror.schema.carried import not_carried
from mirror.schema.columns import Columns, NotMirrorable, columns_of, model_named
from mirror.schema.compare import flaws
from mirror.schema.described import DescribedObject


class Refused(ValueError):
    """A mirror's requirement is not met, or a change is not possible. `field` names the setting."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


def check_local(mirror: Mirror) -> Columns:
    """Check a new mirror without asking the org; return the model's columns. Raises Refused."""
    clean_choices({"deletes": mirror.deletes, "verify": mirror.verify})
    try:
        columns = columns_of(model_named(mirror.model))
    except NotMirrorable as error:
        raise Refused(str(error), "model") from None
    mirror.model = columns.label
    _check_unique(mirror, columns)
    _check_table(columns, mirror.database)
    check_channel(mirror.listener, columns.salesforce_object, columns.label)
    return columns


def clean_choices(settings: Mapping[str, str]) -> None:
    """Raise Refused for a value of `deletes` or `verify` that does not exist."""
    known: dict[str, list[str]] = {
        "deletes": list(Mirror.Deletes.values),
        "verify": list(Mirror.Verify.values),
    }
    for name, value in settings.items():
        if value not in known[name]:
            raise Refused(f"{value!r} is not valid; use one of {', '.join(known[name])}.", name)


def _check_unique(mirror: Mirror, columns: Columns) -> None:
    for other in Mirror.objects.select_related("listener").exclude(pk=mirror.pk):
        if other.model == columns.label:
            raise Refused(
                f"{columns.label} is already a mirror of {other.salesforce_object}, kept by "
                f"{other.listener}. Remove that mirror first.",
                "model",
            )
        is_same_org = other.listener.connection_id == mirror.listener.connection_id
        if is_same_org and other.salesforce_object == columns.salesforce_object:
            raise Refused(
                f"{columns.salesforce_object} already has a mirror, {other.model}. Use that one, "
                "or remove it first.",
                "model",
            )


def _check_table(columns: Columns, alias: str) -> None:
    """Check that the model's table exists in the database, with all its columns."""
    if alias not in connections:
        known = ", ".join(sorted(connections))
        raise Refused(
            f"There is no database {alias!r}; known: {known}. Set "
            f"DATABASE_URL_{alias.upper()} to add it.",
            "database",
        )
    table = columns.model._meta.db_table
    connection = connections[alias]
    try:
        with connection.cursor() as cursor:
            if table not in connection.introspection.table_names(cursor):
                raise Refused(
                    f"The database {alias!r} has no table {table}. Create it with: manage.py "
                    f"makemigrations, then manage.py migrate{_where(columns, alias)}.",
                    "database",
                )
            description = connection.introspection.get_table_description(cursor, table)
    except DatabaseError as error:
        reason = str(error).strip()
        raise Refused(f"The database {alias!r} cannot be read: {reason}", "database") from None
    present = {column.name for column in description}
    wanted = [str(field.column) for field in columns.model._meta.local_concrete_fields]
    if missing := [name for name in wanted if name not in present]:
        raise Refused(
            f"The table {table} in the database {alias!r} lacks {', '.join(missing)}. Apply the "
            f"model's migrations: manage.py migrate{_where(columns, alias)}.",
            "database",
        )


def _where(columns: Columns, alias: str) -> str:
    """Return the arguments of `migrate` for a further database, which has only the user's apps."""
    app = columns.model._meta.app_label
    return "" if alias == "default" else f" {app} --database {alias}"


def check_channel(listener: Listener, salesforce_object: str, label: str) -> None:
    """Refuse a channel of another object. The org knows whether a channel of several objects
    carries this one (`not_carried`)."""
    only = entity_of(listener.channel)
    if only is not None and only != salesforce_object:
        raise Refused(
            f"Listener {listener} receives {only} alone ({listener.channel}), and {label} is a "
            f"mirror of {salesforce_object}. Name a listener of /data/ChangeEvents, or of that "
            "object.",
            "listener",
        )


def check_org(listener: Listener, columns: Columns) -> dict[str, Any]:
    """Return the object's description. Raises Refused if the org does not answer, or the object
    does not exist or cannot be read. Outside any transaction."""
    name = columns.salesforce_object
    try:
        rest = rest_of(listener)
        description = rest.describe(name)
        text = not_carried(rest, listener.channel, name)
    except RestRefused as refused:
        if refused.status != 404:
            raise _unreadable(listener, name, refused) from None
        raise Refused(
            f"The org of {listener.connection} has no object {name}, or the connection's user may "
            "not see it. Correct salesforce_object, or grant the user Read and View All Records.",
            "model",
        ) from None
    except CANNOT_READ as error:
        raise _unreadable(listener, name, error) from None
    if description.get("queryable") is False:
        raise Refused(f"{name} cannot be queried, so it cannot be mirrored.", "model")
    if text:
        raise Refused(text, "listener")
    if text := flaws(columns, DescribedObject.read(description)):
        raise Refused(text, "model")
    return description


def field_names(description: Mapping[str, Any]) -> list[str]:
    return [str(field["name"]) for field in description["fields"] if isinstance(field, dict)]


def _unreadable(listener: Listener, name: str, error: Exception) -> Refused:
    reason = str(error).removesuffix(".")
    return Refused(
        f"{name} could not be read from the org of connection {listener.connection}: {reason}. "
        f"Check it with: manage.py check_cdc_connection {listener.connection}",
        "listener",
    )
