"""Serializer fields that read values from JSON and write them to it."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import empty

from listeners.access.object_grants import reached
from listeners.access.permissions import may
from listeners.models import Connection, Listener
from listeners.secrets.encrypted_field import REFERENCES, Secret
from listeners.values import is_storable_text

VIEW_CONNECTION = "listeners.view_connection"
VIEW_DESTINATION = "handlers.view_destination"


class SecretField(serializers.CharField):
    """A write-only secret. A secret that is left out is kept; an empty text clears it."""

    def __init__(self, **kwargs: Any) -> None:
        fixed = {"write_only": True, "required": False, "allow_blank": True}
        super().__init__(**{**kwargs, **fixed, "trim_whitespace": False})

    def run_validation(self, data: Any = empty) -> Any:
        text = super().run_validation(data)
        stripped = text.strip()
        is_stripped = not stripped or stripped.startswith(REFERENCES)
        return Secret.of(stripped if is_stripped else text)


class NumberField(serializers.FloatField):
    """A number; booleans, which are ints in Python, are refused."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool):
            self.fail("invalid")
        return super().to_internal_value(data)


@extend_schema_field({"type": "array", "items": {"type": "string"}})
class NamesField(serializers.JSONField):
    """A list of texts, which the model validates."""


@extend_schema_field({"type": "object", "additionalProperties": {}})
class ObjectField(serializers.JSONField):
    """A JSON object, which the model validates."""


@extend_schema_field({"type": "string"})
class NameField(serializers.SlugRelatedField[Any]):
    """A reference to another row by its name."""

    default_error_messages = {"does_not_exist": "There is no {slug_name} {value!r}."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(slug_field="name", **kwargs)

    def get_queryset(self) -> QuerySet[Any] | None:
        """Return the rows that the user may refer to.

        A user with grants on single listeners may create mappings only for these. A listener may
        keep its connection, and a mapping its destination, or get one that the user may view.
        """
        rows = super().get_queryset()
        user = getattr(self.context.get("request"), "user", None)
        if rows is None or user is None:
            return rows
        if rows.model is Listener:
            acts_on: frozenset[int] | None = getattr(self.context.get("view"), "acts_on", None)
            return rows if acts_on is None else rows.filter(pk__in=acts_on)
        permission = VIEW_CONNECTION if rows.model is Connection else VIEW_DESTINATION
        if may(user, permission):
            return rows
        row = getattr(self.parent, "instance", None)
        current = Q(pk=getattr(row, f"{self.field_name}_id", None))
        if rows.model is Connection:
            current |= Q(pk__in=reached(user, Connection, [VIEW_CONNECTION]))
        return rows.filter(current)

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
