"""Serializers of settings. DRF checks names and types; the model validates the rest, as in the
console and the configuration file."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from django.core.exceptions import NON_FIELD_ERRORS
from django.core.exceptions import ValidationError as Refused
from django.db import models
from rest_framework import serializers
from rest_framework.settings import api_settings

from api.protocol.fields import NamesField, NumberField, ObjectField, SecretField
from listeners.secrets.encrypted_field import EncryptedField
from listeners.values import is_same, save_fields

M = TypeVar("M", bound=models.Model)


class FieldsSerializer(serializers.ModelSerializer[M]):
    """Reads the fields of a model by name and type only."""

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        EncryptedField: SecretField,
        models.FloatField: NumberField,
    }

    def build_standard_field(
        self, field_name: str, model_field: models.Field[Any, Any]
    ) -> tuple[type[serializers.Field[Any, Any, Any, Any]], dict[str, Any]]:
        kind, kwargs = super().build_standard_field(field_name, model_field)
        if isinstance(model_field, models.JSONField):
            kind = NamesField if model_field.default is list else ObjectField
        # `full_clean` runs the model's validators.
        return kind, {**kwargs, "validators": []}

    def to_internal_value(self, data: Any) -> Any:
        errors = flaws(data, self.fields) if isinstance(data, dict) else {}
        try:
            values = super().to_internal_value(data)
        except serializers.ValidationError as error:
            raise serializers.ValidationError({**_by_field(error), **errors}) from None
        if errors:
            raise serializers.ValidationError(errors)
        return values


class RowSerializer(FieldsSerializer[M]):
    """A row of settings. `save` runs inside the caller's transaction."""

    #: Fields that `full_clean` cannot check yet.
    unchecked: frozenset[str] = frozenset()
    #: The fields that an update has changed.
    changed: Sequence[str] = ()

    def get_default_field_names(self, declared_fields: Any, model_info: Any) -> list[str]:
        """Return the row's own fields first, then the derived ones."""
        names = super().get_default_field_names(declared_fields, model_info)
        model: type[models.Model] = self.Meta.model
        own = {field.name for field in model._meta.fields}
        return sorted(names, key=lambda name: name not in own)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Validate the row as it would be after the change, with the model's `full_clean`."""
        row: models.Model = copy.copy(self.instance) if self.instance else self.new_row()
        mine = attrs.keys() & {field.name for field in row._meta.fields}
        for name in mine:
            setattr(row, name, attrs[name])
        try:
            row.full_clean(exclude=self.unchecked)
        except Refused as refused:
            raise serializers.ValidationError(self.at_fields(refused.message_dict)) from None
        return attrs | {name: getattr(row, name) for name in mine}

    def new_row(self) -> models.Model:
        """Return a row to validate, without the request's values."""
        model: type[models.Model] = self.Meta.model
        return model()

    def at_fields(self, messages: dict[str, list[str]]) -> dict[str, Any]:
        """Return the model's messages by the API's field names."""
        whole = api_settings.NON_FIELD_ERRORS_KEY
        return {whole if name == NON_FIELD_ERRORS else name: messages[name] for name in messages}

    def create(self, validated_data: dict[str, Any]) -> M:
        model: type[M] = self.Meta.model
        row = model(**validated_data)
        row.save(force_insert=True)
        return row

    def update(self, instance: M, validated_data: dict[str, Any]) -> M:
        """Save only fields that differ, so that a listener is not restarted without need."""
        changed = [
            name
            for name, new in validated_data.items()
            if not is_same(getattr(instance, name), new)
        ]
        self.changed = changed
        for name in changed:
            setattr(instance, name, validated_data[name])
        if changed:
            save_fields(instance, changed)
        return instance


class NoteSerializer(serializers.Serializer[dict[str, str]]):
    """A warning about a valid setting."""

    field = serializers.CharField()
    message = serializers.CharField()


def _by_field(error: serializers.ValidationError) -> dict[str, Any]:
    found = error.detail
    return dict(found) if isinstance(found, dict) else {api_settings.NON_FIELD_ERRORS_KEY: found}


#: The JSON types that each kind of field takes. DRF would convert other types.
_TYPES: tuple[tuple[type[serializers.Field[Any, Any, Any, Any]], tuple[type, ...]], ...] = (
    (serializers.CharField, (str,)),
    (serializers.BooleanField, (bool,)),
    (serializers.IntegerField, (int, float)),
    (serializers.FloatField, (int, float)),
)


def flaws(data: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, str]:
    """Return a message for each unknown field and each value of a wrong type.

    Read-only fields may be sent back as they were read.
    """
    found = unknown_fields(data, fields)
    for name, field in fields.items():
        value = data.get(name)
        if value is None or field.read_only:
            continue
        for kind, types in _TYPES:
            if isinstance(field, kind) and type(value) not in types:
                found[name] = str(field.error_messages["invalid"])
    return found


def unknown_fields(
    data: Iterable[str], known: Iterable[str], *, what: str = "field"
) -> dict[str, str]:
    """Return a message for each name in `data` that is unknown."""
    names = list(known)
    return {name: _unknown(what, name, names) for name in data if name not in names}


def _unknown(what: str, name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"There is no such {what}" + (f"; did you mean {close[0]}?" if close else ".")
