"""The form of a handler mapping."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django import forms
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from console.admin.connections.json_fields import NamesField, ObjectField
from handlers.models import HandlerMapping
from handlers.rules.conditions import EXAMPLE
from handlers.sdk import registry
from listeners.secrets.encrypted_field import REFERENCES

if TYPE_CHECKING:
    _MappingForm = forms.ModelForm[HandlerMapping]
else:
    _MappingForm = forms.ModelForm


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


class HandlerMappingForm(_MappingForm):
    handler = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget)
    changed_fields = NamesField(
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Updates only: deliver when one of these fields changed, such as Phone, Name. "
        "Empty: any field.",
    )
    condition = ObjectField(
        nothing={},
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=f"Deliver only changes whose values match, such as {EXAMPLE}. Operators: in, "
        'exists, changed_to. Combine with {"all": […]} and {"any": […]}. Empty: all changes.',
    )
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
        nothing={},
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Options of the handler, as a JSON object. Write secrets as references: env:NAME "
        "or file:PATH.",
    )

    class Meta:
        model = HandlerMapping
        fields = (
            "name",
            "on",
            "entity",
            "handler",
            "ordering",
            "task",
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

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        handler = registry.find(cleaned.get("handler", ""))
        options = cleaned.get("options")
        if handler is not None and handler.check_options and isinstance(options, dict):
            try:
                handler.check_options(options)
            except ValueError as error:
                self.add_error("options", f"{handler.name}: {error}.")
        return cleaned
