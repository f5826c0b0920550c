"""The form field of a mapping's condition: rows of field, operator and value, or JSON."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import INPUT_CLASSES, SELECT_CLASSES, TEXTAREA_CLASSES

from console.admin.connections.json_fields import ObjectField
from handlers.routing.conditions import EXAMPLE

#: What a row offers; `static/console/condition.js` turns these into JSON and back.
OPERATORS = (
    ("equals", "equals"),
    ("in", "is one of"),
    ("changed_to", "changed to"),
    ("exists", "has a value"),
    ("missing", "has no value"),
)
VALUE_TYPES = (
    ("text", "Text"),
    ("number", "Number"),
    ("true", "True"),
    ("false", "False"),
    ("null", "Empty"),
)


class ConditionWidget(forms.Textarea):
    """The JSON in a text area. The browser shows it as rows where rows can express it."""

    template_name = "console/condition.html"

    def __init__(self) -> None:
        style = " ".join(TEXTAREA_CLASSES)
        super().__init__(attrs={"rows": 3, "class": style, "spellcheck": "false"})

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        context |= {
            "operators": OPERATORS,
            "value_types": VALUE_TYPES,
            "input_class": " ".join(INPUT_CLASSES),
            "select_class": " ".join(SELECT_CLASSES),
        }
        return context


class ConditionField(ObjectField):
    def __init__(self) -> None:
        super().__init__(
            when_empty={},
            widget=ConditionWidget(),
            help_text="Deliver only changes whose values match. Without a condition: all changes. "
            f"As JSON: {EXAMPLE}, with the operators equals, in, exists and changed_to; combine "
            'and nest with {"all": […]} and {"any": […]}.',
        )
