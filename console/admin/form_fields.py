"""Form fields of settings: lists, JSON objects, and secrets, which are never shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from typing import Any

from django import forms
from unfold.widgets import INPUT_CLASSES

from console.admin.concurrent_form import ConcurrentForm
from listeners.secrets.encrypted_field import REFERENCES, Secret, described


class FormWithDefaults(ConcurrentForm):
    """A form whose empty fields get their defaults."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in self.fields.keys() & self._defaults().keys():
            self.fields[name].required = False

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        for name, default in self._defaults().items():
            if name in cleaned and cleaned[name] in (None, ""):
                cleaned[name] = default
        return cleaned

    def _defaults(self) -> dict[str, Any]:
        fields: Any = self._meta.model._meta.fields
        return {
            field.name: field.get_default()
            for field in fields
            if field.has_default() and not field.blank and not field.unique
        }


class NamesField(forms.CharField):
    """A list of names, separated by commas."""

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        if isinstance(value, list):
            return value
        return [name for part in str(value or "").split(",") if (name := part.strip())]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(data) != (initial or []))


class ObjectField(forms.JSONField):
    """A JSON object; an empty field becomes `when_empty`."""

    def __init__(self, *, when_empty: Any, **kwargs: Any) -> None:
        super().__init__(required=False, **kwargs)
        self._when_empty = when_empty

    def clean(self, value: Any) -> Any:
        cleaned = super().clean(value)
        return self._when_empty if cleaned is None else cleaned

    def prepare_value(self, value: Any) -> Any:
        if value is None or (value == {} and self._when_empty == {}):
            return ""
        return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.clean(data) != initial)
        except forms.ValidationError:
            return True


class Entry(Enum):
    """The user's choice for a stored secret, other than entering a new one."""

    KEEP = "keep"
    CLEAR = "clear"


class SecretInput(forms.PasswordInput):
    """An input that is always empty, the state of the stored secret, and a box to clear it."""

    template_name = "console/secret_input.html"
    is_multiline = False
    stored = Secret("")

    def __init__(self) -> None:
        super().__init__(
            attrs={"class": " ".join(INPUT_CLASSES), "autocomplete": "new-password"},
            render_value=False,
        )

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, None, attrs)
        context["widget"] |= {
            "stored": described(self.stored),
            "is_set": bool(self.stored),
            "is_multiline": self.is_multiline,
            "clear_name": self._clear_name(name),
        }
        return context

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> str | Entry:
        text = str(data.get(name) or "")
        if text.strip():
            return text
        return Entry.CLEAR if data.get(self._clear_name(name)) else Entry.KEEP

    def value_omitted_from_data(self, data: Mapping[str, Any], files: Any, name: str) -> bool:
        return name not in data and self._clear_name(name) not in data

    @staticmethod
    def _clear_name(name: str) -> str:
        return f"{name}-clear"


class SecretTextarea(SecretInput):
    """A `SecretInput` of several lines, such as for a PEM key."""

    is_multiline = True

    def __init__(self) -> None:
        super().__init__()
        self.attrs |= {"rows": 4, "spellcheck": "false"}


class SecretField(forms.Field):
    widget: forms.Widget | type[forms.Widget] = SecretInput

    def __init__(self, *, strips_blanks: bool = True, **kwargs: Any) -> None:
        """`strips_blanks`: blanks come from pasting; but a password may begin with one."""
        super().__init__(required=False, **kwargs)
        self.stored = Secret("")
        self._strips_blanks = strips_blanks

    def remember(self, stored: Secret) -> None:
        """Set the stored secret, which is kept if the user enters nothing."""
        self.stored = stored
        if isinstance(self.widget, SecretInput):
            self.widget.stored = stored

    def clean(self, value: Any) -> Secret:
        match value:
            case Entry.CLEAR:
                return Secret("")
            case str() if value.strip().startswith(REFERENCES):
                return Secret.of(value.strip())
            case str() if value:
                return Secret.of(value.strip() if self._strips_blanks else value)
            case _:
                return self.stored

    @staticmethod
    def was_typed(data: Any) -> bool:
        return isinstance(data, str) and bool(data.strip())

    def has_changed(self, initial: Any, data: Any) -> bool:
        return data is not None and data is not Entry.KEEP


class FormWithSecrets(FormWithDefaults):
    """A form that shows no secrets. An empty field keeps the stored secret. A form with errors asks
    for typed secrets again."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self._secret_fields():
            field.remember(getattr(self.instance, name))
            self.initial.pop(name, None)

    def full_clean(self) -> None:
        super().full_clean()
        if not (self.is_bound and self.errors):
            return
        self.report_hidden_errors()
        for name, field in self._secret_fields():
            if field.was_typed(self[name].data):
                self.add_error(name, "Enter it again: it was not saved and is not shown.")

    def report_hidden_errors(self) -> None:
        """Move the errors of hidden fields to the top of the form. For subclasses that hide
        fields."""

    def _secret_fields(self) -> list[tuple[str, SecretField]]:
        """Return the form's secrets; a read-only user's form has none."""
        named = [(name, self.fields.get(name)) for name in self._meta.model.SECRETS]
        return [(name, field) for name, field in named if isinstance(field, SecretField)]
