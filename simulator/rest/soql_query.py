"""A parsed query of SOQL."""

from dataclasses import dataclass

from simulator.rest.soql_aggregates import Column
from simulator.rest.soql_where import Where, comparisons


@dataclass(frozen=True, slots=True)
class Order:
    """One key of ORDER BY: a field, or in a grouped query also an expression."""

    column: Column
    descending: bool = False
    nulls_last: bool = False

    @property
    def name(self) -> str:
        """The name of the field."""
        return self.column.name


@dataclass(frozen=True, slots=True)
class Query:
    """A SELECT; without `columns` it is a COUNT()."""

    columns: tuple[Column, ...]
    entity: str
    where: Where
    group: tuple[Column, ...]
    order: tuple[Order, ...]
    limit: int | None
    offset: int

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the selected fields."""
        return tuple(column.name for column in self.columns)

    @property
    def end(self) -> int | None:
        """The number of rows before which the result ends, or None for no limit."""
        return None if self.limit is None else self.offset + self.limit

    @property
    def is_grouped(self) -> bool:
        """Whether the rows are AggregateResults."""
        return bool(self.group) or any(column.function for column in self.columns)

    @property
    def all_names(self) -> tuple[str, ...]:
        """The field names of the whole query."""
        wheres = (comparison.name for comparison in comparisons(self.where))
        groups = (column.name for column in self.group)
        return (*self.names, *wheres, *groups, *(order.name for order in self.order))
