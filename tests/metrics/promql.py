"""Checks PromQL against the metrics that the code exports, and finds the labels of an expression's
result.

Mistaken    it names an unknown metric or label, or adds up values that must not be added up
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import promql_parser as promql

from tests.metrics.catalogue import Exported, series

#: Prometheus's own, of each target.
TARGET = frozenset({"job", "instance"})
_OF_COUNTERS = {"rate", "increase", "irate"}
_TAKEN_ONCE = {"max", "min"}
_SETS = {"and", "unless"}
Labels = frozenset[str]


class Mistaken(AssertionError):
    """A PromQL expression is wrong; the message says where and why."""


def labels_of(expression: str, known: Mapping[str, Exported]) -> Labels:
    """Return the labels of an expression's result. Raises Mistaken."""
    text = re.sub(r"\$__\w+", "5m", expression)
    return _Reader(known).read(promql.parse(text), "")


def check(text: str) -> None:
    """Check that each line is an expression of metrics that the code exports. Raises Mistaken."""
    for line in text.strip().splitlines():
        labels_of(line, series())


class _Reader:
    def __init__(self, known: Mapping[str, Exported]) -> None:
        self._known = known

    def read(self, part: object, around: str) -> Labels:
        """Return the labels of a part; `around` is the function or aggregation that directly
        contains it."""
        match part:
            case promql.NumberLiteral() | promql.StringLiteral():
                return frozenset()
            case promql.ParenExpr() | promql.UnaryExpr():
                return self.read(part.expr, around)
            case promql.MatrixSelector():
                return self._selected(part.vector_selector, around)
            case promql.VectorSelector():
                return self._selected(part, around)
            case promql.Call():
                return self._called(part)
            case promql.AggregateExpr():
                return self._aggregated(part)
            case promql.BinaryExpr():
                return self._joined(part)
        raise Mistaken(f"not known here: {part}")

    def _selected(self, selector: promql.VectorSelector, around: str) -> Labels:
        name = selector.name or ""
        if name not in self._known:
            raise Mistaken(f"nothing exports {name}")
        metric = self._known[name]
        named = {matcher.name for matcher in selector.matchers.matchers}
        self._are_there(named, metric.labels | TARGET, name)
        if (metric.kind == "counter") != (around in _OF_COUNTERS):
            raise Mistaken(f"{name} is a {metric.kind}, in {around or 'nothing'}")
        if metric.is_state and around not in _TAKEN_ONCE | {"absent"}:
            raise Mistaken(f"{name} is told by several processes: take its max first")
        return metric.labels | TARGET

    def _called(self, call: promql.Call) -> Labels:
        name = call.func.name
        found = [self.read(one, name) for one in call.args]
        match name:
            case "histogram_quantile":
                self._are_there({"le"}, found[1], name)
                return found[1] - {"le"}
            case "vector":
                return frozenset()
            case "absent":
                return frozenset(one.name for one in call.args[0].matchers.matchers)
        return found[0]

    def _aggregated(self, part: promql.AggregateExpr) -> Labels:
        found = self.read(part.expr, str(part.op))
        if part.modifier is None:
            return frozenset()
        kept = frozenset(part.modifier.labels)
        self._are_there(kept, found, part.prettify())
        return kept

    def _joined(self, part: promql.BinaryExpr) -> Labels:
        left, right = self.read(part.lhs, ""), self.read(part.rhs, "")
        matching = part.modifier.matching if part.modifier else None
        if matching is not None:
            self._are_there(set(matching.labels), left & right, part.prettify())
        elif left and right and left != right and str(part.op) != "or":
            raise Mistaken(f"{set(left)} is held against {set(right)} in {part.prettify()}")
        if str(part.op) == "or":
            return left & right
        if matching is not None and str(part.op) not in _SETS:
            return frozenset(matching.labels)
        return left or right

    @staticmethod
    def _are_there(wanted: set[str] | Labels, there: Labels, where: str) -> None:
        if missing := wanted - there:
            raise Mistaken(f"no label {', '.join(sorted(missing))} in {where}")
