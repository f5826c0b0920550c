"""Insert rows of one model with their ids: many rows by COPY on PostgreSQL, otherwise by INSERT."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from json import JSONEncoder
from operator import itemgetter
from typing import Any, TypeVar

from django.db import connection
from django.db.models import JSONField, Model
from django.db.models.base import ModelState

from audit.db.prepared import prepared_cursor
from listeners import crash_points
from listeners.salesforce.fast_json import encoded

ROWS = 1000
#: The most rows for which one INSERT is faster than fetching ids and a COPY.
INSERT_ROWS = 4
#: The ids are returned as one text, which is faster to read than one row for each. OFFSET 0 keeps
#: PostgreSQL from looking up the sequence for each id.
_NEXT = """
SELECT string_agg(nextval(found)::text, ',') FROM generate_series(1, %s),
(SELECT pg_get_serial_sequence(%s, %s)::regclass AS found OFFSET 0) AS sequence
"""

Row = TypeVar("Row", bound=Model)
Values = Callable[[Sequence[Model]], Iterator[Sequence[Any]]]


def no_op() -> None:
    """Do nothing: the default for `while_writing`."""


def object_factory(model: type[Row], **shared: Any) -> Callable[[dict[str, Any]], Row]:
    """Return a function that creates an unsaved object from a dict of values by attribute name.

    Attributes without a value get those of `shared`, or the field's default. The function bypasses
    the constructor, as unpickling does, which is ten times as fast.
    """
    blank = {field.attname: field.get_default() for field in model._meta.concrete_fields} | shared

    def make(values: dict[str, Any]) -> Row:
        made = model.__new__(model)
        made.__dict__ = blank | values
        made._state = ModelState()
        return made

    return make


def insert(rows: Sequence[Row], while_writing: Callable[[], None] = no_op) -> Sequence[Row]:
    """Insert new rows of one model in order, and set their ids, which ascend in that order.

    Inside the caller's transaction. Raises what an INSERT raises. `while_writing` is called while
    PostgreSQL processes a COPY; it is not called for other inserts.
    """
    if not rows:
        return rows
    if connection.vendor != "postgresql":
        return type(rows[0])._default_manager.bulk_create(rows, batch_size=ROWS)
    if len(rows) <= INSERT_ROWS:
        _insert_few(rows)
    else:
        _number(rows)
        with connection.wrap_database_errors:
            _copy(rows, while_writing)
    alias = connection.alias
    for row in rows:
        row._state.adding, row._state.db = False, alias
    return rows


def _insert_few(rows: Sequence[Model]) -> None:
    sql, place, values = _few_plan(type(rows[0]), len(rows))
    found = [value for row in values(rows) for at, value in enumerate(row) if at != place]
    with prepared_cursor() as cursor:
        cursor.execute(sql, found)
        for row, (number,) in zip(rows, cursor.fetchall(), strict=True):
            row.pk = number


@cache
def _few_plan(model: type[Model], count: int) -> tuple[str, int, Values]:
    """Return the INSERT for `count` rows, the index of the primary key, and the row converter."""
    quote = connection.ops.quote_name
    fields = model._meta.concrete_fields
    columns = [quote(str(field.column)) for field in fields if not field.primary_key]
    row = f"({', '.join(['%s'] * len(columns))})"
    into, rows = quote(model._meta.db_table), ", ".join([row] * count)
    key = quote(str(model._meta.pk.column))
    sql = " ".join(
        ("INSERT INTO", into, f"({', '.join(columns)})", "VALUES", rows, "RETURNING", key)
    )
    return sql, fields.index(model._meta.pk), _values(fields, _json)


def _number(rows: Sequence[Model]) -> None:
    """Set the next ids of the sequence: a COPY does not return the ids that it assigns."""
    meta = rows[0]._meta
    key, table = meta.pk, connection.ops.quote_name(meta.db_table)
    with prepared_cursor() as cursor:
        cursor.execute(_NEXT, [len(rows), table, str(key.column)])
        numbers = cursor.fetchone()[0].split(",")
        for row, number in zip(rows, numbers, strict=True):
            setattr(row, key.attname, int(number))


def _copy(rows: Sequence[Model], while_writing: Callable[[], None]) -> None:
    sql, types, values = _plan(type(rows[0]))
    with connection.cursor() as cursor, cursor.copy(sql) as copy:
        copy.set_types(types)
        for row in values(rows):
            copy.write_row(row)
        crash_points.reach("writing")
        while_writing()


@cache
def _plan(model: type[Model]) -> tuple[str, list[str], Values]:
    """Return the COPY statement, the types of its columns, and the row converter."""
    fields = model._meta.concrete_fields
    quote = connection.ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in fields)
    sql = f"COPY {quote(model._meta.db_table)} ({columns}) FROM STDIN (FORMAT binary)"
    types = [_type(field) for field in fields]
    return sql, types, _values(fields, _jsonb)


def _values(fields: Sequence[Any], adapter: Callable[[JSONField], Callable[[Any], Any]]) -> Values:
    """Return a function that converts objects to rows; `adapter` gives a JSON field's encoder."""
    read = itemgetter(*(field.attname for field in fields))
    special = [
        (index, adapter(field))
        for index, field in enumerate(fields)
        if isinstance(field, JSONField)
    ]

    def values(rows: Sequence[Model]) -> Iterator[Sequence[Any]]:
        for row in rows:
            found = list(read(row.__dict__))  # much faster than by attribute
            for index, adapt in special:
                if found[index] is not None:
                    found[index] = adapt(found[index])
            yield found

    return values


def _json(field: JSONField) -> Callable[[Any], str]:
    return (field.encoder or JSONEncoder)().encode


def _jsonb(field: JSONField) -> Callable[[Any], bytes]:
    """Return a function that encodes a value as binary jsonb: a version byte and the text."""
    if field.encoder is not None:
        encode = field.encoder().encode
        return lambda value: _VERSION + encode(value).encode()
    return lambda value: _EMPTY if value == [] else _VERSION + encoded(value)


_VERSION = b"\x01"
_EMPTY = _VERSION + b"[]"


def _type(field: Any) -> str:
    """Return the name of the field's PostgreSQL type, without a length; `bytea` for JSON bytes."""
    if isinstance(field, JSONField):
        return "bytea"
    type_of = field.rel_db_type if field.is_relation else field.db_type
    return str(type_of(connection)).partition("(")[0]
