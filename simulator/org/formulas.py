"""Formula fields: texts joined with `&`, and arithmetic, of the record's fields or its parent's.

A formula is calculated when a record is read. A change of its value causes neither an event nor a
new time of modification.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

TEXT = r"""(?P<quote>['"])(?P<text>.*?)(?P=quote)"""
NUMBER, PATH, SIGN = (
    r"(?P<number>\d+(?:\.\d+)?)",
    r"(?P<path>[A-Za-z_][\w.]*)",
    r"(?P<sign>[-&+*/()])",
)
TOKEN = re.compile(rf"\s*(?:{TEXT}|{NUMBER}|{PATH}|{SIGN})")
ARITHMETIC: Mapping[str, Callable[[float, float], float]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right if right else 0,
}
#: Returns the value of a field: of `Name`, or of `Account.Name`.
Values = Callable[[str], object]
Node = Callable[[Values], object]


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula and its type. Raises ValueError if it cannot be parsed."""

    text: str
    kind: str = "string"
    _value: Node = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_value", _Parser(self.text).formula())

    def value(self, values: Values) -> object:
        """Return the value for one record; an empty text is null."""
        result = self._value(values)
        if self.kind == "string" and result is not None:
            return _text(result) or None
        return result


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def formula(self) -> Node:
        node = self._joined()
        if self._text[self._at :].strip():
            raise self._wrong()
        return node

    def _joined(self) -> Node:
        parts = [self._sum()]
        while self._sign("&"):
            parts.append(self._sum())
        if len(parts) == 1:
            return parts[0]
        return lambda values: "".join(_text(part(values)) for part in parts)

    def _sum(self) -> Node:
        return self._operations(self._product, "+-")

    def _product(self) -> Node:
        return self._operations(self._factor, "*/")

    def _operations(self, operand: Callable[[], Node], signs: str) -> Node:
        node = operand()
        while sign := self._sign(signs):
            node = _calculation(sign, node, operand())
        return node

    def _sign(self, signs: str) -> str:
        match = TOKEN.match(self._text, self._at)
        if match is None or not match["sign"] or match["sign"] not in signs:
            return ""
        self._at = match.end()
        return match["sign"]

    def _factor(self) -> Node:
        if self._sign("("):
            node = self._joined()
            if not self._sign(")"):
                raise self._wrong()
            return node
        match = TOKEN.match(self._text, self._at)
        if match is None or match["sign"]:
            raise self._wrong()
        self._at = match.end()
        text, number, path = match["text"], match["number"], match["path"]
        if path:
            return lambda values: values(path)
        value = float(number) if number else text
        return lambda _values: value

    def _wrong(self) -> ValueError:
        return ValueError(f"cannot read the formula {self._text!r} from {self._text[self._at :]!r}")


def _calculation(sign: str, left: Node, right: Node) -> Node:
    def calculate(values: Values) -> object:
        first, second = left(values), right(values)
        if not isinstance(first, int | float) or not isinstance(second, int | float):
            return None
        return ARITHMETIC[sign](first, second)

    return calculate


def _text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)
