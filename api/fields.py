"""How values are read from JSON and written to it."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import empty

from listeners.secrets import REFERENCES, Secret
from listeners.values import is_storable_text


class SecretField(serializers.CharField):
    """Goes in, encrypted at once, and never comes out. What is left out is kept; an empty text
    clears it."""

    def __init__(self, **kwargs: Any) -> None:
        fixed = {"write_only": True, "required": False, "allow_blank": True}
        super().__init__(**{**kwargs, **fixed, "trim_whitespace": False})

    def run_validation(self, data: Any = empty) -> Any:
        text = super().run_validation(data)
        bare = text.strip()
        return Secret.of(bare if not bare or bare.startswith(REFERENCES) else text)


class NumberField(serializers.FloatField):
    """True is no number, whatever Python says."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool):
            self.fail("invalid")
        return super().to_internal_value(data)


@extend_schema_field({"type": "array", "items": {"type": "string"}})
class NamesField(serializers.JSONField):
    """A list of texts, as the model's own validation says."""


@extend_schema_field({"type": "object", "additionalProperties": {}})
class ObjectField(serializers.JSONField):
    """A JSON object, as the model's own validation says."""


@extend_schema_field({"type": "string"})
class NameField(serializers.SlugRelatedField[Any]):
    """Another row, by its name."""

    default_error_messages = {"does_not_exist": "There is no {slug_name} {value!r}."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(slug_field="name", **kwargs)

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid")
        rows = self.get_queryset()
        found = (
            rows.filter(name=data).first() if rows is not None and is_storable_text(data) else None
        )
        if found is None:
            self.fail("does_not_exist", slug_name=self.field_name, value=data)
        return found
