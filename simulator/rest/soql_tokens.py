"""The tokens of SOQL, and errors that show their place in the query."""

import re
from dataclasses import dataclass

from simulator.rest.errors import RestError

TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^'\\]|\\.)*')"
    r"|(?P<moment>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))"
    r"|(?P<date>\d{4}-\d\d-\d\d)(?![\w:])"
    r"|(?P<number>[+-]?\d+(?:\.\d+)?)(?![\w:])"
    r"|(?P<word>[A-Za-z_][\w.]*(?::\d+)?)"
    r"|(?P<sign><=|>=|!=|<>|[=<>(),]))",
    re.DOTALL,
)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


@dataclass(frozen=True, slots=True)
class Token:
    """A token of the query; `kind` is its group in TOKEN, or `end`."""

    kind: str
    text: str
    at: int


def split(query: str) -> list[Token]:
    """Return the tokens of a query, and one for its end. Raises RestError."""
    tokens, at, text = [], 0, query.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise unexpected(query, Token("", text[at:].split()[0], at))
        tokens.append(Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        at = match.end()
    return [*tokens, *[Token("end", "<EOF>", at)] * 3]


def unescaped(text: str) -> str:
    """Return the value of a string literal."""
    return re.sub(r"\\(.)", lambda match: ESCAPES.get(match[1], match[1]), text, flags=re.DOTALL)


def unexpected(query: str, token: Token) -> RestError:
    """Return the error for a token that the grammar does not allow here."""
    message = located(query, token.at, f"unexpected token: '{token.text}'")
    return RestError("MALFORMED_QUERY", message)


def located(text: str, at: int, problem: str) -> str:
    """Return a message in Salesforce's form: the query, a mark below the place, and the problem."""
    shown = " ".join(text.splitlines())
    return f"\n{shown}\n{' ' * at}^\nERROR at Row:1:Column:{at + 1}\n{problem}"
