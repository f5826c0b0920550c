"""`SELECT fields FROM Entity [WHERE field = value AND …] [LIMIT n]`, to read records back."""

import operator
import re
from collections.abc import Callable

from simulator.catalogue import Catalogue, UnknownEntityError
from simulator.records import JsonObject, RecordStore
from simulator.representation import chosen_fields, record_json

QUERY = re.compile(
    r"^\s*SELECT\s+(?P<fields>[\w\s,]+?)\s+FROM\s+(?P<entity>\w+)"
    r"(?:\s+WHERE\s+(?P<where>.+?))?(?:\s+LIMIT\s+(?P<limit>\d+))?\s*$",
    re.IGNORECASE | re.DOTALL,
)
CONDITION = re.compile(r"^\s*(\w+)\s*(=|!=|>=|<=|>|<)\s*('(?:[^'\\]|\\.)*'|\S+)\s*$")
OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
Condition = Callable[[JsonObject], bool]


class SoqlError(ValueError):
    """The query is more than this org understands; the message says where."""


def select(store: RecordStore, catalogue: Catalogue, text: str, version: str) -> list[JsonObject]:
    """The rows of a query, in order of creation."""
    match = QUERY.match(text)
    if match is None:
        raise SoqlError(f"unexpected token: {text!r}")
    try:
        entity = catalogue.get(match["entity"]).name
    except UnknownEntityError:
        raise SoqlError(f"sObject type '{match['entity']}' is not supported.") from None
    names = [name.strip() for name in match["fields"].split(",")]
    conditions = [_condition(part) for part in _conjuncts(match["where"] or "")]
    rows = (record_json(record, version) for record in store.live.get(entity, {}).values())
    chosen = [chosen_fields(row, names) for row in rows if all(holds(row) for holds in conditions)]
    return chosen[: int(match["limit"])] if match["limit"] else chosen


def _conjuncts(where: str) -> list[str]:
    return re.split(r"\s+AND\s+", where, flags=re.IGNORECASE) if where else []


def _condition(text: str) -> Condition:
    match = CONDITION.match(text)
    if match is None:
        raise SoqlError(f"unexpected token: {text!r}")
    name, sign, literal = match.groups()
    compare = OPERATORS[sign]
    if literal.lower() == "null":
        return lambda row: compare(str(row.get(name)), "None")
    wanted = _literal(literal)
    return lambda row: row.get(name) is not None and compare(_comparable(row[name]), wanted)


def _literal(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith("'") else _comparable(text)


def _comparable(value: object) -> str:
    """Dates by their first 19 characters, as `Z` and `+0000` say the same; numbers padded."""
    text = str(value)
    if re.match(r"^\d{4}-\d\d-\d\dT", text):
        return text[:19]
    try:
        return f"{float(text):040.6f}"
    except ValueError:
        return text
