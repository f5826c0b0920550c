"""Queries of the hot path that are compiled once, and planned once for each PostgreSQL connection.

Django takes longer to compile such a query than the database to execute it.

    _OF_RECORD = Prepared(lambda: Entry.objects.filter(record_id=Param("record_id")))
    _OF_RECORD.objects(record_id="001…")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from json import dumps
from operator import itemgetter
from typing import Any, cast

from django.db import DEFAULT_DB_ALIAS, NotSupportedError, OperationalError, connections
from django.db.models import Expression, Field, Model, QuerySet
from django.db.models.base import ModelState
from django.db.models.sql import DeleteQuery, Query, UpdateQuery
from django.utils.duration import duration_microseconds

Built = QuerySet[Any] | Query
Row = Sequence[Any]


class Param(Expression):
    """A parameter that is given when the query is executed. Use `among` for a list."""

    def __init__(self, name: str, output_field: Field[Any, Any] | None = None) -> None:
        """`output_field` is needed in arithmetic expressions."""
        super().__init__(output_field)
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return "%s", [self]


def update_query(found: QuerySet[Any], **values: Any) -> Built:
    """Return the query that `update` would execute."""
    query = cast("UpdateQuery", found.query.chain(UpdateQuery))
    query.add_update_values(values)
    return query


def delete_query(found: QuerySet[Any]) -> Built:
    """Return the query of a `delete`, without cascading to rows that refer to the deleted ones."""
    query = found.query.chain(DeleteQuery)
    query.clear_ordering(force=True)
    return query


@dataclass(frozen=True, slots=True)
class _RowReader:
    """Makes an object from its part of a row, like `Model.from_db` but in a fraction of its time.

    `relation` is the field of the object that owns it.
    """

    model: type[Model]
    names: Sequence[str]
    pick: Callable[[Row], Row]
    key: int
    related: Sequence[_RowReader] = ()
    relation: Any = None

    def make(self, row: Row, alias: str) -> Model:
        made = self.model.__new__(self.model)
        made.__dict__.update(zip(self.names, self.pick(row), strict=True))
        made._state = state = ModelState()
        state.adding, state.db = False, alias
        for maker in self.related:
            related = maker.make(row, alias) if row[maker.key] is not None else None
            maker.relation.set_cached_value(made, related)
        return made


def _row_reader(
    info: dict[str, Any],
    selected: Sequence[Any],
    annotations: Mapping[str, int],
    relation: Any = None,
) -> _RowReader:
    """Return the maker of an object and its related ones; `info` is `klass_info` of a compiler, and
    `annotations` are the places of the object's annotations in the row."""
    places = info["select_fields"]
    fields = [selected[place].target for place in places]
    return _RowReader(
        model=info["model"],
        names=[*(field.attname for field in fields), *annotations],
        pick=itemgetter(*places, *annotations.values()),
        key=next(place for place in places if selected[place].target.primary_key),
        related=[
            _row_reader(related, selected, {}, related["field"])
            for related in info.get("related_klass_infos", ())
        ],
        relation=relation,
    )


class _Statement:
    """A compiled query: the SQL, the names of its parameters, and the converters of its rows."""

    def __init__(self, query: Query) -> None:
        self._compiler: Any = query.get_compiler(DEFAULT_DB_ALIAS)
        sql, parameters = self._compiler.as_sql()
        self.names = [value.name for value in parameters if isinstance(value, Param)]
        literals = ["%s" if isinstance(value, Param) else _literal(value) for value in parameters]
        self.sql: str = sql.replace("%%", "%%%%") % tuple(literals)
        self._selected = [expression for expression, *_ in self._compiler.select or ()]
        self._converters = self._compiler.get_converters(self._selected)

    def values(self, rows: Sequence[Row]) -> Iterator[list[Any]]:
        found: Iterator[list[Any]] = self._compiler.apply_converters(rows, self._converters)
        return found

    def objects(self, rows: Sequence[Row]) -> list[Any]:
        make, alias = self._reader.make, self._compiler.connection.alias
        return [make(row, alias) for row in self.values(rows)]

    @cached_property
    def _reader(self) -> _RowReader:
        places = self._compiler.annotation_col_map or {}
        return _row_reader(self._compiler.klass_info, self._selected, places)


class Prepared:
    """A query that is compiled once, with `Param` parameters.

    Constants are written into the SQL: with parameters for them, PostgreSQL's generic plans could
    not use partial indexes.
    """

    def __init__(self, build: Callable[[], Built]) -> None:
        """`build` returns the query; it is called at the first use, when the models are ready."""
        self._build = build

    @property
    def sql(self) -> str:
        """The SQL with its constants, for a part of another statement."""
        return self._statement.sql

    def objects(self, **given: Any) -> list[Any]:
        """Return the selected objects, with their annotations and those of `select_related`."""
        with self._executed(given) as (cursor, statement):
            return statement.objects(cursor.fetchall())

    def rows(self, **given: Any) -> list[tuple[Any, ...]]:
        with self._executed(given) as (cursor, statement):
            return [tuple(row) for row in statement.values(cursor.fetchall())]

    def execute(self, **given: Any) -> int:
        """Execute an update or delete; return the number of rows."""
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
        return _Statement(built.query if isinstance(built, QuerySet) else built)


@contextmanager
def prepared_cursor() -> Iterator[Any]:
    """Yield a cursor of the default database, which prepares its statements on PostgreSQL.

    Raises OperationalError when a table was altered after its statement was prepared: a retry
    prepares it again.
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
        if not connection.in_atomic_block:  # a rollback also discards the prepared statements
            connection.close()
        raise OperationalError("a table was altered: its statements are prepared again") from error


def _is_outdated(error: NotSupportedError) -> bool:
    """Return whether the columns of a prepared statement have changed.

    The message is not compared, since it is in the server's language.
    """
    diagnostics = getattr(error.__cause__, "diag", None)
    return getattr(diagnostics, "source_function", None) == "RevalidateCachedQuery"


def stored(values: Iterator[Any] | Sequence[Any]) -> list[Any]:
    """Return the values in the form that the database driver takes; lists are array parameters."""
    connection: Any = connections[DEFAULT_DB_ALIAS]
    if connection.vendor == "postgresql":
        return [_array(value) if isinstance(value, list) else value for value in values]
    return [_adapted(value, connection) for value in values]


def _array(values: list[Any]) -> Any:
    """Return integers as the text of an array: psycopg formats a list item by item, in Python."""
    if all(type(value) is int for value in values):
        return f"{{{','.join(map(str, values))}}}"
    return values


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
    """Return a constant as an SQL literal."""
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
        raise TypeError(f"{value!r} cannot be written as an SQL literal: pass it as Param.")
    return text.replace("%", "%%")
