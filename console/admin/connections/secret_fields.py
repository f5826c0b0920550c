"""Form fields for secrets: neither stored nor typed values are ever shown."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from django import forms
from unfold.widgets import INPUT_CLASSES

from listeners.secrets.encrypted_field import REFERENCES, Secret, described


class Entry(Enum):
    """The user's choice for a stored secret, other than entering a new one."""

    KEEP = "keep"
    CLEAR = "clear"


class SecretInput(forms.PasswordInput):
    """An input that is always empty, the state of the stored secret, and a box to clear it."""

    template_name = "console/secret_input.html"
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

    template_name = "console/secret_textarea.html"

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
