"""The base class of forms that edit stored rows, and that may be open for long.

A page with such a form carries the values that it showed, signed, in one hidden input. When the
form is saved, a field that its user has not changed keeps what others have changed since. A field
that both have changed is an error, which names the present value. A program that posts the fields
without the hidden input changes all of them.
"""

from __future__ import annotations

import json
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django import forms
from django.core import signing
from django.core.serializers.json import DjangoJSONEncoder
from django.utils.crypto import salted_hmac
from django.utils.text import Truncator

from listeners.secrets.encrypted_field import Secret

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Any]
else:
    ModelForm = forms.ModelForm

#: The name of the hidden input; `templates/console/shown_values.html` renders it.
INPUT = "initial-values"
_SALT = "console.shown_values"
_LONGEST = 200
_UNREADABLE = (
    "The server's SECRET_KEY has changed since you opened this page. Check the values and save "
    "again."
)


class ConcurrentForm(ModelForm):
    """A form that saves what its user has changed, and keeps what others change meanwhile."""

    def shown_values(self) -> str:
        """Return the text that the page carries: the stored values, signed; empty for a new row."""
        return signing.dumps(self._stored, salt=self._salt, compress=True) if self._stored else ""

    @cached_property
    def changed_data(self) -> list[str]:
        """The fields whose values the user has changed, and which differ from the stored ones."""
        return [name for name in super().changed_data if name not in self._untouched]

    def full_clean(self) -> None:
        untouched = {name: self.fields[name] for name in self._untouched}
        for field in untouched.values():
            field.disabled = True  # its value is the stored one, and is validated with the others
        super().full_clean()
        for name, field in untouched.items():
            field.disabled = False
            setattr(field, "bound_data", _initial)  # noqa: B010  what the form shows if it has errors
            if isinstance(field, forms.ModelMultipleChoiceField):
                self.cleaned_data.pop(name, None)  # else its rows would be set once more

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        for name in self._untouched & cleaned.keys():
            if isinstance(stored := getattr(self.instance, name), datetime):
                cleaned[name] = stored  # a form shows no microseconds
        if self._shown is None:
            self.add_error(None, _UNREADABLE)
        for name in self.changed_data:
            if (self._shown or {}).get(name, stored := self._stored.get(name)) != stored:
                self.add_error(name, self._conflict(name))
        return cleaned

    @cached_property
    def _stored(self) -> dict[str, str]:
        """The stored value of each field, as JSON; read before cleaning changes the instance."""
        if self.instance.pk is None:
            return {}
        of_model = {field.name for field in self._model_fields()}
        return {
            name: json.dumps(self._stored_value(name), cls=DjangoJSONEncoder, sort_keys=True)
            for name, field in self.fields.items()
            if name in of_model and not field.disabled
        }

    def _stored_value(self, name: str) -> Any:
        if isinstance(secret := self.instance.__dict__.get(name), Secret):
            return salted_hmac(self._salt, secret.stored, algorithm="sha256").hexdigest()
        value = self.get_initial_for_field(self.fields[name], name)
        if isinstance(self.fields[name], forms.ModelMultipleChoiceField):
            return sorted(row.pk for row in value)
        return value

    @cached_property
    def _shown(self) -> dict[str, str] | None:
        """The values that the posted form showed; None if they cannot be read."""
        if not self._stored or INPUT not in self.data:
            return {}
        try:
            found: dict[str, str] = signing.loads(self.data[INPUT], salt=self._salt)
        except signing.BadSignature:
            return None
        return found

    @cached_property
    def _untouched(self) -> set[str]:
        """The fields whose posted value is the one that the form showed."""
        fields = {field.name: field for field in self._model_fields()}
        return {
            name
            for name, text in (self._shown or {}).items()
            if name in self._stored
            and not self.fields[name].has_changed(
                fields[name].to_python(json.loads(text)), self[name].data
            )
        }

    def _conflict(self, name: str) -> str:
        label = self[name].label
        if isinstance(self.instance.__dict__.get(name), Secret):
            return (
                f"{label} has a new value: another user or program changed it after you opened "
                "this page. To replace it, enter yours again and save."
            )
        return (
            f"{label} is now {self._present(name)}: another user or program changed it after you "
            "opened this page. Save again to replace it with yours, or enter the present value to "
            "keep it."
        )

    def _present(self, name: str) -> str:
        """Return the stored value of a field as the form shows it."""
        field = self.fields[name]
        value = self.get_initial_for_field(field, name)
        if isinstance(value, bool):
            return "on" if value else "off"
        if isinstance(field, forms.ModelMultipleChoiceField):
            text = ", ".join(map(str, value))
        elif isinstance(field, forms.ModelChoiceField):
            text = str(getattr(self.instance, name) or "")
        else:
            labels = dict(self.instance._meta.get_field(name).flatchoices)
            shown = labels.get(value) if labels else None
            text = str(field.prepare_value(value) if shown is None else shown)
        return f"“{Truncator(text).chars(_LONGEST)}”" if text not in ("", "None") else "empty"

    def _model_fields(self) -> list[Any]:
        return [*self.instance._meta.concrete_fields, *self.instance._meta.many_to_many]

    @property
    def _salt(self) -> str:
        """A salt of the row's own: the values of one row are not those of another."""
        return f"{_SALT}.{self.instance._meta.label}.{self.instance.pk}"


def _initial(data: Any, initial: Any) -> Any:
    return initial
