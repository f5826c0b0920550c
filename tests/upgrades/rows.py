"""Rows for every table of the product, made through the models of some migration."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import models

APPS = ("listeners", "audit", "handlers", "api", "consumer")
#: Of each table.
COUNT = 4
_BEGIN = datetime(2026, 1, 31, 23, 59, 58, 123456, tzinfo=UTC)
_VALUES: tuple[tuple[Any, Callable[[str, int], Any]], ...] = (
    (models.BooleanField, lambda name, n: n % 2 == 0),
    (models.FloatField, lambda name, n: n + 0.25),
    (models.IntegerField, lambda name, n: n + 1),
    (models.DateTimeField, lambda name, n: _BEGIN + timedelta(hours=n)),
    (models.DateField, lambda name, n: date(2026, 2, 1 + n)),
    (models.JSONField, lambda name, n: {name: [None, n, "Zoë", {"deep": 1.5}]}),
    ((models.CharField, models.TextField), lambda name, n: f"{n}{name} Zoë"),
)
Rule = Callable[[int], dict[str, Any]]
#: What the constraints of a table ask for, by the row's number.
_RULES: dict[str, Rule] = {
    "handlers.handlermapping": lambda n: {"task": ""},
    "handlers.delivery": lambda n: [
        {"state": "retrying", "awaits_record": False, "halts": False},
        {"state": "running", "awaits_record": False, "halts": False},
        {"state": "dead", "awaits_record": False, "halts": True, "mapping_id": None},
        {"state": "blocked", "awaits_record": True, "halts": False, "paused": False},
    ][n],
}


def of_the_product(apps):
    return [model for model in apps.get_models() if model._meta.app_label in APPS]


class Rows:
    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._filled: dict[str, set[str]] = {}

    def fill(self, apps) -> None:
        """Rows in each table that is new, and values in each column that is."""
        for model in of_the_product(apps):
            self._fill(apps, model)

    def _fill(self, apps, model) -> None:
        label = model._meta.label_lower
        if label not in self._filled:
            self._make(apps, model)
            return
        fields = {one.attname for one in _fields(model)}
        fresh = fields - self._filled[label]
        if fresh:
            for n, row in enumerate(model.objects.using(self._alias).order_by("pk")):
                values = self._values(apps, model, n)
                changed = {name: values[name] for name in fresh}
                model.objects.using(self._alias).filter(pk=row.pk).update(**changed)
        self._filled[label] = fields

    def _make(self, apps, model) -> list[Any]:
        self._filled[model._meta.label_lower] = {one.attname for one in _fields(model)}
        rows = model.objects.using(self._alias)
        return [rows.create(**self._values(apps, model, n)) for n in range(COUNT)]

    def _values(self, apps, model, n: int) -> dict[str, Any]:
        found = {one.attname: self._value(apps, one, n) for one in _fields(model)}
        rules = _RULES.get(model._meta.label_lower, lambda n: {})(n)
        return found | {name: value for name, value in rules.items() if name in found}

    def _value(self, apps, field, n: int):
        if field.is_relation:
            return self._target(apps, field.related_model, n)
        if field.choices:
            return field.choices[n % len(field.choices)][0]
        value = next(make for kind, make in _VALUES if isinstance(field, kind))(field.name, n)
        return value[: field.max_length] if isinstance(field, models.CharField) else value

    def _target(self, apps, model, n: int):
        """The key of another row for each number; made here where the table is Django's own."""
        target = apps.get_model(model._meta.label)
        rows = list(target.objects.using(self._alias).order_by("pk")[:COUNT])
        return (rows or self._make(apps, target))[n].pk


def _fields(model):
    return [
        field
        for field in model._meta.concrete_fields
        if not isinstance(field, (models.AutoField, models.CompositePrimaryKey))
    ]
