"""Convert the rows of a CSV file column by column, which costs a fraction of row by row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mirror.schema.columns import Columns
from mirror.schema.convert import Convert, Refused, raw_value
from mirror.schema.key_prefixes import STANDARD_PREFIXES
from mirror.schema.plain_texts import ArePlain, plainness
from mirror.schema.storable import storable_json
from mirror.schema.values import LEFT_OUT, Empty, is_reference, plan_of, relation_of

Texts = Sequence[str]


@dataclass(slots=True)
class ConvertedRows:
    """The rows as the values of columns, by attribute name, and their `raw` by the row's number,
    of those rows that have any.

    `refused` counts the values that their columns cannot hold.
    """

    values: dict[str, Sequence[Any]] = field(default_factory=dict)
    raw: defaultdict[int, dict[str, Any]] = field(default_factory=lambda: defaultdict(dict))
    refused: int = 0


@dataclass(frozen=True, slots=True)
class _Field:
    index: int
    name: str
    column: str
    convert: Convert
    empty: Empty
    is_nullable: bool
    are_plain: ArePlain | None


class RowsConverter:
    """Converts rows of a CSV file that has this header, as `to_columns` does.

    With `keeps_texts`, a column whose texts PostgreSQL reads as the same values keeps them.
    """

    def __init__(
        self,
        columns: Columns,
        header: Texts,
        *,
        prefixes: Mapping[str, str] = STANDARD_PREFIXES,
        keeps_texts: bool = False,
    ) -> None:
        self._known = known = columns.resolution
        self._prefixes = prefixes
        self._indices = {name: index for index, name in enumerate(header)}
        plan = plan_of(known)
        self._fields = []
        for index, name in enumerate(header):
            if name not in plan.columns:
                continue
            column = known.fields[name]
            plain = plainness(column, is_id=is_reference(known, name)) if keeps_texts else None
            self._fields.append(_Field(index, name, *plan.columns[name], column.null, plain))
        self._others = [
            (index, name, known.described.get(name))
            for index, name in enumerate(header)
            if name not in plan.columns and name not in LEFT_OUT and "." not in name
        ]

    def convert(self, rows: Sequence[Texts]) -> ConvertedRows:
        """Return the values of rows, each of which has as many texts as the header."""
        texts: Sequence[Texts] = list(zip(*rows, strict=True))
        result = ConvertedRows()
        if not texts:
            return result
        for one in self._fields:
            result.values[one.column] = _column(one, texts[one.index], result)
        for index, name, kind in self._others:
            for number, text in enumerate(texts[index]):
                result.raw[number][name] = raw_value(kind, text)
        self._add_types(result, texts)
        return result

    def _add_types(self, result: ConvertedRows, texts: Sequence[Texts]) -> None:
        """Add the objects that polymorphic references point to."""
        for name, column in self._known.types.items():
            if name not in self._indices:
                continue
            ids = texts[self._indices[name]]
            kind = self._indices.get(f"{relation_of(name)}.Type")
            kinds = texts[kind] if kind is not None else [""] * len(ids)
            result.values[column.attname] = [
                (known or self._prefixes.get(key[:3])) if key else None
                for key, known in zip(ids, kinds, strict=True)
            ]


def _column(column: _Field, texts: Texts, result: ConvertedRows) -> Sequence[Any]:
    has_empty = "" in texts
    are_plain = column.are_plain if column.is_nullable or not has_empty else None
    if are_plain is not None and are_plain(texts):
        return [text or None for text in texts] if has_empty else texts
    convert, empty = column.convert, column.empty
    try:
        return [convert(text) if text else empty() for text in texts]
    except Refused:
        return [_value(column, number, text, result) for number, text in enumerate(texts)]


def _value(column: _Field, number: int, text: str, result: ConvertedRows) -> Any:
    """Return one value; a refused one is in `raw`."""
    try:
        return column.convert(text) if text else column.empty()
    except Refused:
        result.refused += 1
        result.raw[number][column.name] = storable_json(text)
        return column.empty()
