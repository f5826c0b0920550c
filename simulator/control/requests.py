"""Parse the requests of the control API. An invalid request becomes a 400 that names the error.

ControlError: the body is invalid; the message names the part, and is the response's "error".
"""

from collections.abc import Callable, Mapping

from simulator.org import changes
from simulator.org.org import SOMEBODY, Writer
from simulator.org.records import JsonObject


class ControlError(ValueError):
    """The request is invalid. Correct the part that the message names."""


class Body:
    """A JSON object that is read key by key; unread keys are an error at the end."""

    def __init__(self, value: object, where: str = "the body") -> None:
        if not isinstance(value, dict):
            raise ControlError(f"{where} must be a JSON object")
        self._left: JsonObject = dict(value)
        self._where = where

    def text(self, name: str, default: str | None = None) -> str:
        """Read a string, required without a default."""
        value = self._take(name, default)
        if not isinstance(value, str):
            raise self._wrong(name, "a string")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Read a list of strings."""
        value = self._take(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(name, "a list of strings")
        return tuple(value)

    def number(self, name: str, default: float | None = None) -> float:
        """Read a number of at least 0."""
        value = self._take(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise self._wrong(name, "a number of at least 0")
        return value

    def count(self, name: str, default: int | None = None) -> int:
        """Read a whole number of at least 1."""
        value = self._take(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self._wrong(name, "a whole number of at least 1")
        return value

    def count_or_none(self, name: str, default: int | None) -> int | None:
        """Read a whole number of at least 1, or null for no limit."""
        value = self._left.get(name, default)
        if value is None:
            self._left.pop(name, None)
            return None
        return self.count(name, default)

    def limit(self, name: str) -> int | None:
        """Read an integer from the query of a URL; None if it is absent."""
        value = self._left.pop(name, None)
        try:
            return None if value is None else int(value)
        except ValueError:
            raise self._wrong(name, "a number") from None

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Read true or false."""
        value = self._take(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def mapping(self, name: str, default: JsonObject | None = None) -> JsonObject:
        """Read a JSON object, required without a default."""
        value = self._take(name, default)
        if not isinstance(value, dict):
            raise self._wrong(name, "a JSON object")
        return value

    def weights(self, name: str, default: Mapping[str, float]) -> Mapping[str, float]:
        """Read numbers by name."""
        value = self._take(name, dict(default))
        if not isinstance(value, dict) or not all(
            isinstance(weight, int | float) and weight >= 0 for weight in value.values()
        ):
            raise self._wrong(name, "an object of numbers of at least 0")
        return value

    def items(self, name: str) -> list[object]:
        """Read a list that is not empty."""
        value = self._take(name, None)
        if not isinstance(value, list) or not value:
            raise self._wrong(name, "a list with at least one item")
        return value

    def has(self, name: str) -> bool:
        """Return whether the key is present and unread."""
        return name in self._left

    def rest(self) -> JsonObject:
        """Read the remaining keys unchanged."""
        left, self._left = self._left, {}
        return left

    def done(self) -> None:
        """Raise ControlError if a key was not read."""
        if self._left:
            raise ControlError(f"{self._where} has an unknown key {next(iter(self._left))!r}")

    def _take(self, name: str, default: object) -> object:
        if name not in self._left and default is None:
            raise ControlError(f"{self._where} lacks {name!r}")
        return self._left.pop(name, default)

    def _wrong(self, name: str, wanted: str) -> ControlError:
        return ControlError(f"{self._where}: {name!r} must be {wanted}")


def read_change(value: object, where: str = "the body") -> changes.Change:
    """Parse one change of a transaction."""
    body = Body(value, where)
    op, entity = body.text("op"), body.text("entity")
    if op not in CHANGES:
        raise ControlError(f"unknown op {op!r}; known are {', '.join(CHANGES)}")
    change = CHANGES[op](body, entity)
    body.done()
    return change


def _update(body: Body, entity: str) -> changes.Update:
    return changes.Update(
        entity,
        _ids(body),
        body.mapping("fields"),
        diff_fields=body.texts("diff_fields"),
        separate_fields=body.texts("separate_fields"),
        is_stamped=body.flag("is_stamped", default=True),
    )


def _create(body: Body, entity: str) -> changes.Create:
    if body.has("records"):
        records = [Body(item, "a record").rest() for item in body.items("records")]
        return changes.Create(entity, tuple(records))
    return changes.Create(entity, (body.mapping("fields", {}),), body.text("record_id", ""))


def _gap(body: Body, entity: str) -> changes.Gap:
    change_type = body.text("change_type")
    if change_type not in changes.GAP_TYPES:
        raise ControlError(
            f"unknown change_type {change_type!r}; known are {', '.join(changes.GAP_TYPES)}"
        )
    fields, apply = body.mapping("fields", {}), body.flag("apply")
    record_ids = () if change_type == "GAP_CREATE" and apply else _ids(body)
    return changes.Gap(entity, change_type, record_ids, fields, apply)


def _merge(body: Body, entity: str) -> changes.Merge:
    return changes.Merge(
        entity,
        body.text("record_id"),
        body.texts("merged_ids"),
        body.mapping("fields", {}),
        body.flag("child_events"),
    )


def _ids(body: Body) -> tuple[str, ...]:
    record_ids = body.texts("record_ids")
    if not record_ids:
        raise ControlError("'record_ids' must name at least one record")
    return record_ids


CHANGES: Mapping[str, Callable[[Body, str], changes.Change]] = {
    "create": _create,
    "update": _update,
    "delete": lambda body, entity: changes.Delete(entity, _ids(body), body.flag("cascade")),
    "undelete": lambda body, entity: changes.Undelete(entity, _ids(body)),
    "merge": _merge,
    "hard_delete": lambda body, entity: changes.HardDelete(entity, _ids(body)),
    "gap": _gap,
    "overflow": lambda _body, entity: changes.Overflow(entity),
    "wildcard": lambda body, entity: changes.Wildcard(entity, body.text("change_type", "UPDATE")),
}


def read_writer(body: Body) -> Writer:
    return Writer(
        user=body.text("user", SOMEBODY.user),
        api=body.text("api", SOMEBODY.api),
        client=body.text("client", SOMEBODY.client),
    )
