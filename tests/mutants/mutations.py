"""Finds the places in a module's source where one plausible mistake can be made."""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARISONS = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
}
_OPERATORS = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "+"),
    ast.BitOr: ("|", "&"),
    ast.BitAnd: ("&", "|"),
}
_SWAPPED_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
#: Links of a chain of calls that are easily forgotten.
_FORGOTTEN_LINKS = {
    *("filter", "exclude", "locked", "lock", "lock_listener", "select_for_update", "distinct"),
    *("held", "strip", "lower"),
}
#: Calls of which one keyword is easily forgotten.
_WITH_CONDITIONS = {"filter", "exclude", "update", "get", "Q", "select_for_update", "atomic"}
_SKIPPED_FUNCTIONS = {"__repr__", "__str__", "describe"}
_SKIPPED_CALLS = {"log", "logger", "cast", "TypeVar", "field"}


#: The scope of what is in no function or class.
_MODULE = "module"


@dataclass(frozen=True, slots=True)
class Mutation:
    """A mistake: a replacement for the bytes from `start` to `end` of a module."""

    path: str
    scope: str
    kind: str
    line: int
    start: int
    end: int
    before: str
    after: str
    ordinal: int = 1

    @property
    def key(self) -> str:
        """The mutation's identity, which stays the same when its code moves within the module."""
        change = f"{_flat(self.before)} -> {_flat(self.after)}"
        number = f" #{self.ordinal}" if self.ordinal > 1 else ""
        return f"{self.path}::{self.scope}: {change}{number}"

    @property
    def is_of_module(self) -> bool:
        """Whether it is in no function or class."""
        return self.scope == _MODULE

    def rank(self, seed: int) -> str:
        """Return the sort key in a sample, which changes elsewhere do not affect."""
        return hashlib.sha256(f"{seed}:{self.key}".encode()).hexdigest()

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.after.encode() + source[self.end :]


def mutations_of(path: str, source: bytes) -> list[Mutation]:
    """Return every mutation of a module that still compiles."""
    finder = _Finder(path, source)
    finder.visit(ast.parse(source))
    seen: Counter[str] = Counter()
    found = []
    for mutation in finder.found:
        try:
            compile(mutation.apply(source), path, "exec")
        except SyntaxError:
            continue
        seen[mutation.key] += 1
        values = {name: getattr(mutation, name) for name in Mutation.__slots__}
        found.append(Mutation(**values | {"ordinal": seen[mutation.key]}))
    return found


class _Finder(ast.NodeVisitor):
    def __init__(self, path: str, source: bytes) -> None:
        self.found: list[Mutation] = []
        self._path = path
        self._source = source
        self._scope: list[str] = []
        self._functions = 0
        self._lines = [0]
        for line in source.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))

    # Scopes, and what is left out.

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.name in _SKIPPED_FUNCTIONS:
            return
        self._scope.append(node.name)
        self._functions += 1
        for part in [*node.args.defaults, *filter(None, node.args.kw_defaults), *node.body]:
            self.visit(part)
        self._functions -= 1
        self._scope.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._scope.append(node.name)
        for part in node.body:
            self.visit(part)
        self._scope.pop()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        self._add("raise removed", node, "pass")

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Skip the parts of an f-string."""

    # Statements.

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant) or _is_skipped(node.value):
            return
        if self._functions and isinstance(node.value, ast.Call):
            self._add("call removed", node, "pass")
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        is_state = isinstance(node.targets[0], ast.Attribute | ast.Subscript)
        if self._functions and is_state and self._scope[-1] != "__init__":
            self._add("assignment removed", node, "pass")
        self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._add("assignment removed", node, "pass")
        self.visit(node.value)

    def visit_Continue(self, node: ast.Continue) -> None:
        self._add("loop", node, "break")

    def visit_Break(self, node: ast.Break) -> None:
        self._add("loop", node, "continue")

    def visit_If(self, node: ast.If) -> None:
        self._negate(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        if not isinstance(node.test, ast.Constant):
            self._negate(node.test)
        self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if isinstance(node.type, ast.Tuple):
            parts = node.type.elts
            for left_out in parts:
                kept = [self._text(part) for part in parts if part is not left_out]
                self._add("exception forgotten", node.type, f"({', '.join(kept)},)")
        for part in node.body:
            self.visit(part)

    def visit_With(self, node: ast.With) -> None:
        for item in node.items:
            text = self._text(item.context_expr)
            if "atomic(" in text or text.endswith("_lock"):
                nothing = '__import__("contextlib").nullcontext()'
                self._add("guard removed", item.context_expr, nothing)
        self.generic_visit(node)

    # Expressions.

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for operator, left, right in zip(node.ops, operands, operands[1:], strict=False):
            before, after = _COMPARISONS[type(operator)]
            self._between("comparison", left, right, before, after)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        swap = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._between("condition", left, right, *swap)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._add("negation removed", node, f"({self._text(node.operand)})")
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._negate(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for condition in node.ifs:
            self._add("filter removed", condition, "True")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        swap = _OPERATORS.get(type(node.op))
        if swap and self._functions and not any(map(_is_text_or_set, (node.left, node.right))):
            self._between("operator", node.left, node.right, *swap)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._add("constant", node, str(not node.value))
        elif isinstance(node.value, int) and self._functions:
            self._add("constant", node, str(node.value + 1))

    def visit_Call(self, node: ast.Call) -> None:
        if _is_skipped(node):
            return
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name in _SWAPPED_CALLS:
            self._add("call swapped", node.func, _SWAPPED_CALLS[name])
        if isinstance(node.func, ast.Attribute):
            name = node.func.attr
            if name in _FORGOTTEN_LINKS:
                self._add("link removed", node, self._text(node.func.value))
        if name in _WITH_CONDITIONS and len(node.args) + len(node.keywords) > 1:
            self._forget_keywords(node)
        self.generic_visit(node)

    def _forget_keywords(self, node: ast.Call) -> None:
        parts: list[ast.expr | ast.keyword] = [*node.args, *node.keywords]
        parts.sort(key=lambda part: (part.lineno, part.col_offset))
        for left_out in node.keywords:
            kept = [self._text(part) for part in parts if part is not left_out]
            start, end = self._offset(parts[0]), self._offset(parts[-1], at_end=True)
            self._add_span("keyword removed", left_out.lineno, start, end, ", ".join(kept))

    # Places.

    def _negate(self, test: ast.expr) -> None:
        if isinstance(test, ast.NamedExpr | ast.Compare | ast.UnaryOp):
            return  # a comparison and a negation have mutations of their own
        self._add("condition negated", test, f"not ({self._text(test)})")

    def _between(self, kind: str, left: ast.expr, right: ast.expr, before: str, after: str) -> None:
        start, end = self._offset(left, at_end=True), self._offset(right)
        at = self._source[start:end].find(before.encode())
        if at >= 0:
            start += at
            line = left.end_lineno or left.lineno
            self._add_span(kind, line, start, start + len(before), after, left, right)

    def _add(self, kind: str, node: ast.AST, after: str) -> None:
        start, end = self._offset(node), self._offset(node, at_end=True)
        self._add_span(kind, node.lineno, start, end, after)  # type: ignore[attr-defined]

    def _add_span(
        self, kind: str, line: int, start: int, end: int, after: str, *around: ast.expr
    ) -> None:
        """Add a mutation of a span. `around` are the operands of an operator, shown for the
        reader."""
        if around:
            whole = self._offset(around[0]), self._offset(around[1], at_end=True)
            text = self._source[whole[0] : whole[1]]
            after = (text[: start - whole[0]] + after.encode() + text[end - whole[0] :]).decode()
            start, end = whole
        before = self._source[start:end].decode()
        scope = ".".join(self._scope) or _MODULE
        self.found.append(Mutation(self._path, scope, kind, line, start, end, before, after))

    def _text(self, node: ast.AST) -> str:
        return self._source[self._offset(node) : self._offset(node, at_end=True)].decode()

    def _offset(self, node: ast.AST, *, at_end: bool = False) -> int:
        line = node.end_lineno if at_end else node.lineno  # type: ignore[attr-defined]
        column = node.end_col_offset if at_end else node.col_offset  # type: ignore[attr-defined]
        return self._lines[line - 1] + column


def _is_text_or_set(node: ast.expr) -> bool:
    """Return whether another operator on the value could only fail."""
    match node:
        case ast.JoinedStr() | ast.List() | ast.Set() | ast.SetComp():
            return True
        case ast.Constant(value=str()) | ast.Call(func=ast.Name(id="set")):
            return True
    return False


def _is_skipped(node: ast.expr) -> bool:
    """Return whether it is a log line or a declaration, where a mistake has no effect on
    behaviour."""
    if not isinstance(node, ast.Call):
        return False
    root: ast.expr = node.func
    while isinstance(root, ast.Attribute):
        root = root.value
    return isinstance(root, ast.Name) and root.id in _SKIPPED_CALLS


def _flat(text: str) -> str:
    return " ".join(text.split())


def sample(candidates: list[Mutation], size: int, seed: int) -> Iterator[Mutation]:
    """Yield the first `size` mutations in the seed's order."""
    yield from sorted(candidates, key=lambda mutation: mutation.rank(seed))[:size]
