"""The queries that each change costs, put together once: Django takes longer to do that than the
database to execute them. On PostgreSQL they are planned once a connection, too.

    _OF_RECORD = Prepared(lambda: Entry.objects.filter(record_id=Given("record_id")))
    _OF_RECORD.objects(record_id="001…")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from json import dumps
from typing import Any, cast

from django.db import DEFAULT_DB_ALIAS, NotSupportedError, OperationalError, connections
from django.db.models import Expression, Field, QuerySet
from django.db.models.sql import DeleteQuery, Query, UpdateQuery
from django.utils.duration import duration_microseconds

from audit.db.row_factory import Assembly

Built = QuerySet[Any] | Query


class Given(Expression):
    """A value that is known when the query is executed. A list is looked up by `among`."""

    def __init__(self, name: str, output_field: Field[Any, Any] | None = None) -> None:
        """`output_field`: where it is calculated with."""
        super().__init__(output_field)
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return "%s", [self]


def changing(found: QuerySet[Any], **values: Any) -> Built:
    """The query of an `update`."""
    query = cast("UpdateQuery", found.query.chain(UpdateQuery))
    query.add_update_values(values)
    return query


def deleting(found: QuerySet[Any]) -> Built:
    """The query of a `delete`, without what Django does for the rows that refer to these."""
    query = found.query.chain(DeleteQuery)
    query.clear_ordering(force=True)
    return query


@dataclass(frozen=True, slots=True)
class _Statement:
    """The SQL, the names of its parameters, and what makes something of its rows."""

    sql: str
    names: Sequence[str]
    assembly: Assembly


class Prepared:
    """Everything in it but what is `Given` is written into the statement: with a parameter in its
    place, a plan that is kept would make no use of partial indexes."""

    def __init__(self, build: Callable[[], Built]) -> None:
        """`build` makes the query, when the models are ready."""
        self._build = build

    def objects(self, **given: Any) -> list[Any]:
        """Those of the model that it selects, with those of `select_related`."""
        with self._executed(given) as (cursor, statement):
            return [statement.assembly.make(row) for row in cursor.fetchall()]

    def rows(self, **given: Any) -> list[tuple[Any, ...]]:
        """The values that it selects."""
        with self._executed(given) as (cursor, statement):
            return [tuple(statement.assembly.values(row)) for row in cursor.fetchall()]

    def execute(self, **given: Any) -> int:
        """How many it changed."""
        with self._executed(given) as (cursor, _):
            return int(cursor.rowcount)

    @contextmanager
    def _executed(self, given: dict[str, Any]) -> Iterator[tuple[Any, _Statement]]:
        statement = self._statement
        with prepared_cursor() as cursor:
            cursor.execute(statement.sql, stored(given[name] for name in statement.names))
            yield cursor, statement

    @cached_property
    def _statement(self) -> _Statement:
        built = self._build()
        query = built.query if isinstance(built, QuerySet) else built
        compiler = query.get_compiler(DEFAULT_DB_ALIAS)
        sql, parameters = compiler.as_sql()
        names = [one.name for one in parameters if isinstance(one, Given)]
        written = ["%s" if isinstance(one, Given) else _literal(one) for one in parameters]
        sql = sql.replace("%%", "%%%%") % tuple(written)
        return _Statement(sql, names, Assembly(compiler))


@contextmanager
def prepared_cursor() -> Iterator[Any]:
    """Of the default database; on PostgreSQL the server keeps what it executes, by its text.

    Raises OperationalError when a table was changed since the server planned it: tried again, it is
    planned anew.
    """
    connection: Any = connections[DEFAULT_DB_ALIAS]
    if connection.vendor != "postgresql":
        with connection.cursor() as cursor:
            yield cursor
        return
    from psycopg import Cursor

    connection.close_if_health_check_failed()
    connection.ensure_connection()
    wrap = connection.make_debug_cursor if connection.queries_logged else connection.make_cursor
    try:
        with wrap(Cursor(connection.connection)) as cursor:
            yield cursor
    except NotSupportedError as error:
        if not _is_outdated(error):
            raise
        if not connection.in_atomic_block:  # with a rollback its plans are forgotten, too
            connection.close()
        raise OperationalError("a table was changed: what reads it is planned anew") from error


def _is_outdated(error: NotSupportedError) -> bool:
    """Whether it says that a plan's columns are of other types now; not in words, which are the
    server's language."""
    told = getattr(error.__cause__, "diag", None)
    return getattr(told, "source_function", None) == "RevalidateCachedQuery"


def stored(values: Iterator[Any] | Sequence[Any]) -> list[Any]:
    """As the database takes them."""
    connection: Any = connections[DEFAULT_DB_ALIAS]
    if connection.vendor == "postgresql":
        return list(values)
    return [_adapted(value, connection) for value in values]


def _adapted(value: Any, connection: Any) -> Any:
    match value:
        case datetime():
            return connection.ops.adapt_datetimefield_value(value)
        case timedelta():
            return duration_microseconds(value)
        case list():
            return dumps(value)
    return value


def _literal(value: Any) -> str:
    """Of a query's own constants."""
    connection: Any = connections[DEFAULT_DB_ALIAS]
    if connection.vendor == "postgresql":
        from psycopg import sql

        connection.ensure_connection()
        text = sql.Literal(value).as_string(connection.connection)
    elif value is None:
        text = "NULL"
    elif isinstance(value, str):
        text = "'" + value.replace("'", "''") + "'"
    elif isinstance(value, int):
        text = str(int(value))
    else:
        raise TypeError(f"{value!r} cannot be written into a statement: make it Given.")
    return text.replace("%", "%%")
