"""Lookups that use an index on every database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.db.models import Lookup
from django.db.models.lookups import In, StartsWith

if TYPE_CHECKING:
    _Lookup = Lookup[Any]
else:
    _Lookup = Lookup

_LAST = "\U0010ffff"


class Begins(_Lookup):
    """`begins`, the same as `startswith`.

    On SQLite it is a range, since LIKE with an escape character uses no index there.
    """

    lookup_name = "begins"

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        column, params = self.process_lhs(compiler, connection)
        first = str(self.rhs)
        sql = f"({column} >= %s AND {column} < %s)"
        return sql, (*params, first, *params, first + _LAST)

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return StartsWith(self.lhs, self.rhs).as_sql(compiler, connection)


class Among(_Lookup):
    """`among`, the same as `in`, for many texts or numbers.

    On PostgreSQL the values are one array parameter, so that the SQL does not grow with them.
    """

    lookup_name = "among"

    def get_prep_lookup(self) -> Any:
        return self.rhs if self._is_given else list(self.rhs)

    @property
    def _is_given(self) -> bool:
        """Return whether the right-hand side is an expression whose value is a list."""
        return hasattr(self.rhs, "resolve_expression")

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        if not self._is_given:
            return In(self.lhs, self.rhs).as_sql(compiler, connection)
        column, params = self.process_lhs(compiler, connection)
        value, given = compiler.compile(self.rhs)
        sql = " ".join((column, "IN (SELECT value FROM", f"json_each({value}))"))
        return sql, (*params, *given)

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        column, params = self.process_lhs(compiler, connection)
        kind = self.lhs.output_field.rel_db_type(connection).partition("(")[0]
        value, given = compiler.compile(self.rhs) if self._is_given else ("%s", [_array(self.rhs)])
        return f"{column} = ANY({value}::{kind}[])", (*params, *given)


def _array(values: Iterable[str | int]) -> str:
    """Return the values as a PostgreSQL array literal."""
    return (
        "{"
        + ",".join(_quoted(value) if isinstance(value, str) else str(value) for value in values)
        + "}"
    )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
