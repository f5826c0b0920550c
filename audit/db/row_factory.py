"""Convert rows to objects with the result of `Model.from_db`, in a fraction of its time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any

from django.db.models import Model
from django.db.models.base import ModelState

Row = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Conversion:
    """Django's converters for one value of a row."""

    place: int
    steps: Sequence[Callable[[Any, Any, Any], Any]]
    expression: Any


@dataclass(frozen=True, slots=True)
class Part:
    """An object whose values are part of a row; `relation` is the field of its owner."""

    model: type[Model]
    names: Sequence[str]
    pick: Callable[[Row], Row]
    key: int
    related: Sequence[Part] = ()
    relation: Any = None

    def make(self, row: Row, alias: str) -> Model:
        made = self.model.__new__(self.model)
        made.__dict__.update(zip(self.names, self.pick(row), strict=True))
        made._state = state = ModelState()
        state.adding, state.db = False, alias
        for part in self.related:
            related = part.make(row, alias) if row[part.key] is not None else None
            part.relation.set_cached_value(made, related)
        return made


class Assembly:
    """Converts the rows of a compiled query, if it selects any."""

    def __init__(self, compiler: Any) -> None:
        self._selected = selected = [expression for expression, *_ in compiler.select or ()]
        self._info = compiler.klass_info
        self._connection = compiler.connection
        self._conversions = [
            Conversion(place, steps, expression)
            for place, (steps, expression) in compiler.get_converters(selected).items()
        ]

    def values(self, row: Row) -> list[Any]:
        found = list(row)
        for conversion in self._conversions:
            value = found[conversion.place]
            for step in conversion.steps:
                value = step(value, conversion.expression, self._connection)
            found[conversion.place] = value
        return found

    def make(self, row: Row) -> Any:
        """Return the object of a row, with its related objects."""
        return self._whole.make(self.values(row), self._connection.alias)

    @cached_property
    def _whole(self) -> Part:
        return _part(self._info, self._selected)


def _part(info: dict[str, Any], selected: Sequence[Any], relation: Any = None) -> Part:
    places = info["select_fields"]
    fields = [selected[place].target for place in places]
    return Part(
        model=info["model"],
        names=[field.attname for field in fields],
        pick=itemgetter(*places),
        key=next(place for place in places if selected[place].target.primary_key),
        related=[
            _part(related, selected, related["field"])
            for related in info.get("related_klass_infos", ())
        ],
        relation=relation,
    )
