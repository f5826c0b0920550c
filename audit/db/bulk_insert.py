"""New rows of one table, with their ids: many at once by COPY on PostgreSQL, else by INSERT."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from json import JSONEncoder
from operator import attrgetter
from typing import Any, TypeVar

from django.db import connection
from django.db.models import JSONField, Model
from django.db.models.base import ModelState

from audit.db.prepared import prepared_cursor

ROWS = 1000
#: So few take less in one statement than to be numbered and copied.
FEW = 4
#: As one text: a row for each would take longer to read than to make. The sequence is found once,
#: and not for each number.
_NEXT = """
SELECT string_agg(nextval(found)::text, ',') FROM generate_series(1, %s),
(SELECT pg_get_serial_sequence(%s, %s)::regclass AS found OFFSET 0) AS sequence
"""

Row = TypeVar("Row", bound=Model)
Values = Callable[[Sequence[Model]], Iterator[Sequence[Any]]]


def nothing() -> None:
    """Of who has nothing to do meanwhile."""


def maker(model: type[Row]) -> Callable[[dict[str, Any]], Row]:
    """What makes an object of the values, by attribute, that are not the fields' defaults.

    As unpickling makes it, without the constructor, which takes ten times as long.
    """
    blank = {field.attname: field.get_default() for field in model._meta.concrete_fields}

    def make(values: dict[str, Any]) -> Row:
        made = model.__new__(model)
        made.__dict__ |= blank
        made.__dict__ |= values
        made._state = ModelState()
        return made

    return make


def insert(rows: Sequence[Row], meanwhile: Callable[[], None] = nothing) -> Sequence[Row]:
    """Insert new rows of one model, which have their ids and are in the order of them afterwards.

    Inside the caller's transaction. Raises what an INSERT raises. `meanwhile`: called while a
    server has the rows and is not done with them; nothing where none is waited for.
    """
    if not rows:
        return rows
    if connection.vendor != "postgresql":
        return type(rows[0])._default_manager.bulk_create(rows, batch_size=ROWS)
    if len(rows) <= FEW:
        _insert_few(rows)
    else:
        _number(rows)
        with connection.wrap_database_errors:
            _copy(rows, meanwhile)
    for row in rows:
        row._state.adding, row._state.db = False, connection.alias
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
    """The statement of so many rows, which place of a row it leaves out, and what makes them."""
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
    """The next ids: in a COPY the database would choose them and not tell."""
    meta = rows[0]._meta
    key, table = meta.pk, connection.ops.quote_name(meta.db_table)
    with prepared_cursor() as cursor:
        cursor.execute(_NEXT, [len(rows), table, str(key.column)])
        numbers = cursor.fetchone()[0].split(",")
        for row, number in zip(rows, numbers, strict=True):
            setattr(row, key.attname, int(number))


def _copy(rows: Sequence[Model], meanwhile: Callable[[], None]) -> None:
    sql, types, values = _plan(type(rows[0]))
    with connection.cursor() as cursor, cursor.copy(sql) as copy:
        copy.set_types(types)
        for row in values(rows):
            copy.write_row(row)
        meanwhile()


@cache
def _plan(model: type[Model]) -> tuple[str, list[str], Values]:
    """The statement, its columns' types, and what makes a row's values of an object."""
    fields = model._meta.concrete_fields
    quote = connection.ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in fields)
    sql = f"COPY {quote(model._meta.db_table)} ({columns}) FROM STDIN (FORMAT binary)"
    types = [_type(field) for field in fields]
    return sql, types, _values(fields, _jsonb)


def _values(fields: Sequence[Any], adapter: Callable[[JSONField], Callable[[Any], Any]]) -> Values:
    """What makes a row's values of an object; `adapter`: what makes those of a JSON field."""
    read = attrgetter(*(field.attname for field in fields))
    special = [
        (index, adapter(field))
        for index, field in enumerate(fields)
        if isinstance(field, JSONField)
    ]

    def values(rows: Sequence[Model]) -> Iterator[Sequence[Any]]:
        for row in rows:
            found = list(read(row))
            for index, adapt in special:
                if found[index] is not None:
                    found[index] = adapt(found[index])
            yield found

    return values


def _json(field: JSONField) -> Callable[[Any], str]:
    """What makes the text of a jsonb."""
    return (field.encoder or JSONEncoder)().encode


def _jsonb(field: JSONField) -> Callable[[Any], bytes]:
    """What makes the bytes of a jsonb in a binary COPY: the version of the format, and the text."""
    encode = (field.encoder or JSONEncoder)().encode

    def jsonb(value: Any) -> bytes:
        return _EMPTY if value == [] else _VERSION + encode(value).encode()

    return jsonb


_VERSION = b"\x01"
_EMPTY = _VERSION + b"[]"


def _type(field: Any) -> str:
    """As PostgreSQL names it, without a length; what is sent as it is, as bytes."""
    if isinstance(field, JSONField):
        return "bytea"
    of = field.rel_db_type if field.is_relation else field.db_type
    return str(of(connection)).partition("(")[0]
