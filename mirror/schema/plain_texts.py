"""Which texts of a CSV file PostgreSQL reads as the values that `convert` would make of them.

A load then needs no Python object for each of them. In doubt a text is converted: one that only
`convert` accepts, refuses or changes is not plain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from django.db import models
from django.db.models.fields import PositiveIntegerRelDbTypeMixin

from mirror.schema.storable import storable_text

#: Whether all of these texts are plain. Empty ones are: they are null.
ArePlain: TypeAlias = Callable[[Sequence[str]], bool]

#: Digits that fit whatever they are, by the class itself: a subclass may store other values.
_DIGITS: dict[type[models.Field[Any, Any]], int] = {
    models.SmallIntegerField: 4,
    models.PositiveSmallIntegerField: 4,
    models.IntegerField: 9,
    models.PositiveIntegerField: 9,
    models.BigIntegerField: 18,
    models.PositiveBigIntegerField: 18,
}
#: Digits on each side of the point of a number without a limit.
_MANY = 100
_DATE = (
    r"[12]\d{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))"
)
_MOMENT = rf"{_DATE}T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{{1,6}})?(?:Z|\+00:?00)"
_SHORT_ID = 15


def plainness(field: models.Field[Any, Any], *, is_id: bool = False) -> ArePlain | None:
    """Return the function that decides for a column; None if its texts are always converted.

    `is_id` says that the values are record ids, which are completed to 18 characters.
    """
    kind = type(field)
    if kind in (models.CharField, models.TextField):
        return partial(_are_storable, field.max_length, is_id=is_id)
    if kind in _DIGITS:
        sign = "" if isinstance(field, PositiveIntegerRelDbTypeMixin) else "-?"
        return _matching(rf"{sign}\d{{1,{_DIGITS[kind]}}}")
    if kind is models.DecimalField:
        return _matching(_decimals(field))
    patterns = {
        models.FloatField: rf"-?\d{{1,{_MANY}}}(?:\.\d{{1,{_MANY}}})?",
        models.BooleanField: "true|false",
        models.DateField: _DATE,
        models.DateTimeField: _MOMENT,
    }
    return _matching(patterns[kind]) if kind in patterns else None


def _decimals(field: Any) -> str:
    places = _MANY if field.decimal_places is None else field.decimal_places
    whole = _MANY if field.max_digits is None else field.max_digits - places
    fraction = rf"(?:\.\d{{1,{places}}})?" if places else ""
    return rf"-?\d{{1,{whole}}}{fraction}" if whole > 0 else r"(?!)"


def _matching(pattern: str) -> ArePlain:
    match = re.compile(pattern, re.ASCII).fullmatch
    return lambda texts: all(map(match, filter(None, texts)))


def _are_storable(longest: int | None, texts: Sequence[str], *, is_id: bool) -> bool:
    together = "".join(texts)
    if storable_text(together) != together:
        return False
    if longest is None and not is_id:
        return True
    lengths = set(map(len, texts))
    return (longest is None or max(lengths) <= longest) and not (is_id and _SHORT_ID in lengths)
