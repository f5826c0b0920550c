"""Form fields for settings that are lists and objects."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django import forms

if TYPE_CHECKING:
    _Form = forms.ModelForm[Any]
else:
    _Form = forms.ModelForm


class FormWithDefaults(_Form):
    """A form whose empty fields get their defaults."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in self.fields.keys() & self._defaults().keys():
            self.fields[name].required = False

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
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
