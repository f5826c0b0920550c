"""The columns of a mirrored model, and the API names of the fields that they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.apps import apps
from django.db import models


@dataclass(frozen=True, slots=True)
class Columns:
    """A mirrored model: `salesforce_object`, and its fields by the API name that they hold.

    `fields` leaves out the model's own columns (`naming.OWN`). `Id` is `salesforce_id`.
    """

    model: type[models.Model]
    salesforce_object: str
    fields: Mapping[str, models.Field[Any, Any]]

    @property
    def label(self) -> str:
        return self.model._meta.label


class NotMirrorable(ValueError):
    """The model lacks what a mirror needs; the message says what to add."""


def model_named(label: str) -> type[models.Model]:
    """Return the model with that label, such as `crm.Account`. Raises NotMirrorable."""
    try:
        return apps.get_model(label)
    except (LookupError, ValueError):
        raise NotMirrorable(
            f"There is no model {label!r}. Write it as app.Model, and add the app to CDC_APPS."
        ) from None


@cache
def columns_of(model: type[models.Model]) -> Columns:
    """Return the columns of a mirrored model. Raises NotMirrorable.

    The class says `salesforce_object`, and `salesforce_fields`, {"column": "ApiName"}, for columns
    whose API names do not follow the naming rule.
    """
    raise NotImplementedError
