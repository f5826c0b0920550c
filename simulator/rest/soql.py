"""Parse SOQL into a Query, on one entity.

It selects fields, COUNT(), or aggregates with GROUP BY, and has WHERE, ORDER BY, LIMIT and OFFSET.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import TypeVar

from simulator.rest.errors import RestError
from simulator.rest.soql_aggregates import DATE_FUNCTIONS, FUNCTIONS, Column
from simulator.rest.soql_dates import span
from simulator.rest.soql_query import Order, Query
from simulator.rest.soql_tokens import Token, split, unescaped, unexpected
from simulator.rest.soql_where import (
    Comparison,
    Joined,
    Literal,
    Negation,
    Value,
    Where,
)

SIGNS = ("=", "!=", "<>", "<", "<=", ">", ">=")
WORDS: dict[str, Value] = {"null": None, "true": True, "false": False}
Part = TypeVar("Part")


def parse(text: str, now: datetime | None = None) -> Query:
    """Parse the query; date literals such as TODAY are relative to `now`.

    Raises RestError, whose message has the place and the text found there.
    """
    return _Parser(text, now or datetime.now(UTC)).query()


class _Parser:
    """A recursive descent parser with one token of lookahead."""

    def __init__(self, text: str, now: datetime) -> None:
        self._text = text
        self._now = now
        self._tokens = split(text)
        self._next = 0

    def query(self) -> Query:
        self._expect("SELECT")
        columns = self._columns()
        self._expect("FROM")
        entity = self._word()
        where = self._any_of() if self._take("WHERE") else None
        query = Query(
            columns,
            entity,
            where,
            self._group(),
            self._orders(),
            self._amount("LIMIT"),
            self._amount("OFFSET") or 0,
        )
        if self._peek.kind != "end":
            raise self._unexpected(self._peek)
        return query

    def _columns(self) -> tuple[Column, ...]:
        if self._peek.text.upper() == "COUNT" and self._tokens[self._next + 2].text == ")":
            self._next += 3
            return ()
        return (self._aliased(), *self._after_commas(self._aliased))

    def _aliased(self) -> Column:
        column = self._column()
        if column.function and self._peek.kind == "word" and self._peek.text.upper() != "FROM":
            return Column(column.name, column.function, column.at, self._word())
        return column

    def _column(self) -> Column:
        """Parse a field or a function of a field."""
        at, name = self._peek.at, self._word()
        function = name.upper()
        if self._peek.text != "(" or function not in FUNCTIONS:
            return Column(name, at=at)
        self._expect("(")
        column = Column(self._word(), function, at)
        self._expect(")")
        return column

    def _group(self) -> tuple[Column, ...]:
        if not self._take("GROUP"):
            return ()
        self._expect("BY")
        group = (self._column(), *self._after_commas(self._column))
        for column in group:
            if column.function and column.function not in DATE_FUNCTIONS:
                raise self._unexpected(Token("word", column.function, column.at))
        return group

    def _any_of(self) -> Where:
        """Parse conditions joined by AND or OR; both need parentheses, as in Salesforce."""
        parts = [self._condition()]
        for word in ("AND", "OR"):
            while self._take(word):
                parts.append(self._condition())
            if len(parts) > 1:
                return Joined(word, tuple(parts))
        return parts[0]

    def _condition(self) -> Where:
        if self._take("NOT"):
            return Negation(self._condition())
        if self._take("("):
            inner = self._any_of()
            self._expect(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Comparison:
        at, name = self._peek.at, self._word()
        if self._take("LIKE"):
            return Comparison(name, "LIKE", (self._literal(),), at)
        if self._take("IN"):
            return Comparison(name, "IN", self._list(), at)
        if self._take("NOT"):
            self._expect("IN")
            return Comparison(name, "NOT IN", self._list(), at)
        if self._peek.text not in SIGNS:
            raise self._unexpected(self._peek)
        sign = self._advance().text.replace("<>", "!=")
        return Comparison(name, sign, (self._literal(),), at)

    def _list(self) -> tuple[Literal, ...]:
        self._expect("(")
        literals = (self._literal(), *self._after_commas(self._literal))
        self._expect(")")
        return literals

    def _literal(self) -> Literal:
        token = self._advance()
        match token.kind:
            case "string":
                return Literal(token.kind, unescaped(token.text[1:-1]))
            case "number":
                return Literal(token.kind, float(token.text))
            case "moment" | "date":
                return Literal(token.kind, self._moment(token))
            case "word" if token.text.lower() in WORDS:
                return Literal(token.kind, WORDS[token.text.lower()])
            case "word" if relative := span(token.text, self._now):
                return Literal("moment", relative)
            case _:
                raise self._unexpected(token)

    def _moment(self, token: Token) -> Value:
        try:
            if token.kind == "date":
                return date.fromisoformat(token.text)
            return datetime.fromisoformat(token.text).astimezone(UTC)
        except (ValueError, OverflowError):
            raise self._unexpected(token) from None

    def _orders(self) -> tuple[Order, ...]:
        if not self._take("ORDER"):
            return ()
        self._expect("BY")
        return (self._order(), *self._after_commas(self._order))

    def _after_commas(self, read: Callable[[], Part]) -> Iterator[Part]:
        while self._take(","):
            yield read()

    def _order(self) -> Order:
        column = self._column()
        descending = self._take("DESC")
        if not descending:
            self._take("ASC")
        nulls_last = False
        if self._take("NULLS"):
            nulls_last = self._take("LAST")
            if not nulls_last:
                self._expect("FIRST")
        return Order(column, descending, nulls_last)

    def _amount(self, word: str) -> int | None:
        if not self._take(word):
            return None
        token = self._advance()
        if not token.text.isdecimal():
            raise self._unexpected(token)
        return int(token.text)

    @property
    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _advance(self) -> Token:
        token = self._peek
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _take(self, text: str) -> bool:
        """Consume the next token if it is this one; a string literal never is."""
        found = self._peek.kind in ("word", "sign") and self._peek.text.upper() == text
        if found:
            self._advance()
        return found

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise self._unexpected(self._peek)

    def _word(self) -> str:
        token = self._advance()
        if token.kind != "word":
            raise self._unexpected(token)
        return token.text

    def _unexpected(self, token: Token) -> RestError:
        return unexpected(self._text, token)
