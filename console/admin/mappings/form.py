"""The form of a handler mapping; its condition is edited as rows or as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django import forms
from unfold.widgets import (
    INPUT_CLASSES,
    SELECT_CLASSES,
    TEXTAREA_CLASSES,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from console.admin.concurrent_form import ConcurrentForm
from console.admin.form_fields import NamesField, ObjectField
from handlers.external.inspection import TaskCheck
from handlers.models import HandlerMapping
from handlers.rules.conditions import EXAMPLE
from handlers.sdk import registry
from listeners.models.connection_rules import default_of
from listeners.secrets.encrypted_field import REFERENCES

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


class OptionsField(ObjectField):
    """Handler options as JSON; a rejected plain-text secret is not shown again."""

    def bound_data(self, data: Any, initial: Any) -> Any:
        value = super().bound_data(data, initial)
        if isinstance(value, dict) and not str(value.get("secret", "env:")).startswith(REFERENCES):
            return value | {"secret": ""}
        return value


def handler_choices(current: str) -> Iterator[tuple[str, str]]:
    """Yield the registered handlers and the current one.

    A mapping whose handler is no longer registered can still be saved.
    """
    yield "", "None: recorded only"
    for handler in registry.all_handlers():
        yield (
            handler.name,
            f"{handler.name}: {handler.summary}" if handler.summary else handler.name,
        )
    if current and registry.find(current) is None:
        yield current, f"{current} (not registered)"


#: Alpine's condition for each field that not every mapping uses.
VISIBILITY = {
    "destination": "task",
    "allow_unknown_task": "task",
    "track": "task",
    "report_timeout": "task && track",
    "on_unknown": "task && track",
    "max_attempts": "!task || track",
}


def unused_fields(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the fields that have no effect, and are hidden, with these values."""
    if not values.get("task"):
        return ("destination", "track", "report_timeout", "on_unknown")
    return () if values.get("track") else ("report_timeout", "on_unknown", "max_attempts")


class HandlerMappingForm(ConcurrentForm):
    handler = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget)
    changed_fields = NamesField(
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Updates only: deliver when one of these fields changed, such as Phone, Name. "
        "Empty: any field.",
    )
    condition = ConditionField()
    ignore_origins = NamesField(
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Skip changes made by these API clients (client=… in Sforce-Call-Options), such "
        "as my-app, or by whole change origins, with * for any text.",
    )
    ignore_users = NamesField(
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Skip changes made by these Salesforce users, by user id.",
    )
    options = OptionsField(
        when_empty={},
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Options of the handler, as a JSON object. Write secrets as references: env:NAME "
        "or file:PATH. For a task: arguments (event or parts), args, kwargs, headers, priority, "
        "expires, large_payload (refuse or reference), max_bytes.",
    )

    allow_unknown_task = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanWidget,
        help_text="Save the mapping even if the workers of the queue have not registered the task.",
    )

    #: What the workers of a new or changed task's queue answered; set by the page.
    task_check = TaskCheck()

    class Meta:
        model = HandlerMapping
        fields = (
            "name",
            "on",
            "entity",
            "handler",
            "after",
            "ordering",
            "task",
            "destination",
            "track",
            "report_timeout",
            "on_unknown",
            "changed_fields",
            "condition",
            "ignore_origins",
            "ignore_users",
            "queue",
            "max_attempts",
            "on_dead",
            "options",
        )
        help_texts = {"entity": "An entity such as Account, or * for all."}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        handler = self.fields.get("handler")  # absent for read-only users
        if isinstance(handler, forms.ChoiceField):
            handler.choices = list(handler_choices(self.instance.handler))

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        # A field with an error is not among the cleaned values, and is not empty for that.
        given = {name: cleaned.get(name, self[name].data) for name in ("task", "track")}
        for name in unused_fields(given):
            if name in self.fields:
                cleaned[name] = default_of(HandlerMapping, name)
                self.errors.pop(name, None)
        if self.task_check.is_unknown and not cleaned.get("allow_unknown_task"):
            self.add_error("task", f"{self.task_check.text} Or allow an unknown task below.")
        handler = registry.find(cleaned.get("handler", ""))
        options = cleaned.get("options")
        if handler is not None and handler.check_options and isinstance(options, dict):
            try:
                handler.check_options(options)
            except ValueError as error:
                self.add_error("options", f"{handler.name}: {error}.")
        return cleaned
