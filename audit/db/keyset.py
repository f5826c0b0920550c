"""Keyset pagination: a page starts where another ended, so that an index finds it directly."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

from django.db.models import DateTimeField, Model, Q, QuerySet

M = TypeVar("M", bound=Model)

#: The number of digits of the longest id.
_DIGITS = 19


class BadPosition(ValueError):
    """The position is malformed. Start at the first page."""


def beside(
    rows: QuerySet[M], by: str, *, before: str = "", after: str = "", within: str = ""
) -> QuerySet[M]:
    """Return the rows before or after a position, nearest first.

    by       the field that orders the rows, together with `id`; empty: `id` alone
    within   a field with one value for all rows, which comes first in the index
    """
    sign, bound = ("", "gt") if after else ("-", "lt")
    position = after or before
    order = [f"{'-' if after else ''}{within}"] if within else []
    order += [f"{sign}{by}"] if by else []
    rows = rows.order_by(*order, f"{sign}id")
    if not position:
        return rows
    value, _, pk = position.rpartition(",")
    if not (pk.isascii() and pk.isdecimal()) or len(pk) > _DIGITS or bool(value) != bool(by):
        raise BadPosition
    if not by:
        return rows.filter(**{f"id__{bound}": int(pk)})
    key = _key(rows.model._meta.get_field(by), value)
    past = Q(**{f"{by}__{bound}": key}) | Q(**{by: key, f"id__{bound}": int(pk)})
    return rows.filter(past, **{f"{by}__{bound}e": key})  # the second is for the index


def position(row: Model, by: str) -> str:
    """Return the position of a row, for `before` and `after`."""
    if not by:
        return str(row.pk)
    value = getattr(row, by)
    return f"{value.isoformat() if isinstance(value, datetime) else value},{row.pk}"


def _key(field: Any, value: str) -> datetime | int:
    try:
        if not isinstance(field, DateTimeField):
            return int(value)
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise BadPosition
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadPosition from error
