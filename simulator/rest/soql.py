"""Parse SOQL into a Query: fields or COUNT(), WHERE, ORDER BY, LIMIT and OFFSET, on one entity."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TypeVar

from simulator.rest.errors import RestError
from simulator.rest.soql_where import (
    Comparison,
    Joined,
    Literal,
    Negation,
    Value,
    Where,
    comparisons,
)

TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^'\\]|\\.)*')"
    r"|(?P<moment>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))"
    r"|(?P<date>\d{4}-\d\d-\d\d)(?![\w:])"
    r"|(?P<number>[+-]?\d+(?:\.\d+)?)(?![\w:])"
    r"|(?P<word>[A-Za-z_][\w.]*)"
    r"|(?P<sign><=|>=|!=|<>|[=<>(),]))",
    re.DOTALL,
)
SIGNS = ("=", "!=", "<>", "<", "<=", ">", ">=")
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
WORDS: dict[str, Value] = {"null": None, "true": True, "false": False}
Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class Order:
    """One key of ORDER BY."""

    name: str
    descending: bool = False
    nulls_last: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """A SELECT; without `names` it is a COUNT()."""

    names: tuple[str, ...]
    entity: str
    where: Where
    order: tuple[Order, ...]
    limit: int | None
    offset: int

    @property
    def all_names(self) -> tuple[str, ...]:
        """The field names of the whole query."""
        wheres = (comparison.name for comparison in comparisons(self.where))
        return (*self.names, *wheres, *(order.name for order in self.order))


@dataclass(frozen=True, slots=True)
class Token:
    """A token of the query; `kind` is its group in TOKEN, or `end`."""

    kind: str
    text: str
    at: int


def parse(text: str) -> Query:
    """Parse the query. Raises RestError, whose message has the place and the text found there."""
    return _Parser(text).query()


class _Parser:
    """A recursive descent parser with one token of lookahead."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split()
        self._next = 0

    def _split(self) -> list[Token]:
        tokens, at, text = [], 0, self._text.rstrip()
        while at < len(text):
            match = TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                raise self._unexpected(Token("", text[at:].split()[0], at))
            tokens.append(
                Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup))
            )
            at = match.end()
        return [*tokens, Token("end", "<EOF>", at)]

    def query(self) -> Query:
        self._expect("SELECT")
        names = self._names()
        self._expect("FROM")
        entity = self._word()
        where = self._any_of() if self._take("WHERE") else None
        query = Query(
            names, entity, where, self._orders(), self._amount("LIMIT"), self._amount("OFFSET") or 0
        )
        if self._peek.kind != "end":
            raise self._unexpected(self._peek)
        return query

    def _names(self) -> tuple[str, ...]:
        first = self._word()
        if first.upper() == "COUNT" and self._take("("):
            self._expect(")")
            return ()
        return (first, *self._after_commas(self._word))

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
                return Literal(token.kind, _unescaped(token.text[1:-1]))
            case "number":
                return Literal(token.kind, float(token.text))
            case "moment" | "date":
                return Literal(token.kind, self._moment(token))
            case "word" if token.text.lower() in WORDS:
                return Literal(token.kind, WORDS[token.text.lower()])
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
        name = self._word()
        descending = self._take("DESC")
        if not descending:
            self._take("ASC")
        nulls_last = False
        if self._take("NULLS"):
            nulls_last = self._take("LAST")
            if not nulls_last:
                self._expect("FIRST")
        return Order(name, descending, nulls_last)

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
        message = located(self._text, token.at, f"unexpected token: '{token.text}'")
        return RestError("MALFORMED_QUERY", message)


def located(text: str, at: int, problem: str) -> str:
    """Return a message in Salesforce's form: the query, a mark below the place, and the problem."""
    shown = " ".join(text.splitlines())
    return f"\n{shown}\n{' ' * at}^\nERROR at Row:1:Column:{at + 1}\n{problem}"


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: ESCAPES.get(match[1], match[1]), text, flags=re.DOTALL)
