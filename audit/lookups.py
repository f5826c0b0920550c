"""Look-ups that an index answers on every database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Lookup
from django.db.models.lookups import StartsWith

if TYPE_CHECKING:
    _Lookup = Lookup[str]
else:
    _Lookup = Lookup

_LAST = "\U0010ffff"


class Begins(_Lookup):
    """`begins`: as `startswith`. SQLite's LIKE looks at no index when it has an escape character,
    so there it is a range."""

    lookup_name = "begins"

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        column, params = self.process_lhs(compiler, connection)
        first = str(self.rhs)
        sql = f"({column} >= %s AND {column} < %s)"
        return sql, (*params, first, *params, first + _LAST)

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return StartsWith(self.lhs, self.rhs).as_sql(compiler, connection)
