"""System checks: mappings that name a handler nobody registered, or say what nobody can mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.core import checks
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connections

from handlers.sdk import registry

if TYPE_CHECKING:
    from handlers.models import HandlerMapping


def register_all() -> None:
    # Not among the checks of the database: those run on request only, and `check` must show this.
    checks.register(check_mappings, "handlers")


def unregistered_message(handler: str) -> str:
    """What an operator is told, in the checks and in the admin alike."""
    known = ", ".join(registry.names()) or "none"
    return (
        f"No handler is registered under the name {handler!r}. Its deliveries wait until one is. "
        f"Registered: {known}."
    )


def check_mappings(**_: Any) -> list[checks.CheckMessage]:
    """handlers.E001 for each mapping whose handler is not registered, handlers.W001 for each that
    was stored past its validation and is not valid."""
    from handlers.models import HandlerMapping

    try:
        if HandlerMapping._meta.db_table not in connections["default"].introspection.table_names():
            return []  # not migrated yet
        mappings = list(HandlerMapping.objects.select_related("listener"))
    except DatabaseError:
        return []  # a database that does not answer is for other checks to report
    return [message for mapping in mappings for message in (*_unknown(mapping), *_invalid(mapping))]


def _unknown(mapping: HandlerMapping) -> Iterator[checks.CheckMessage]:
    if mapping.handler and registry.find(mapping.handler) is None:
        yield checks.Error(
            _about(mapping, unregistered_message(mapping.handler)),
            hint="Put the function into an installed app's cdc_handlers.py or name its module in "
            "CDC_HANDLER_MODULES, or choose another handler.",
            id="handlers.E001",
        )


def _invalid(mapping: HandlerMapping) -> Iterator[checks.CheckMessage]:
    try:
        mapping.clean()
    except ValidationError as error:
        for field, messages in error.message_dict.items():
            yield checks.Warning(
                _about(mapping, f"{field}: {' '.join(messages)}"),
                hint="Correct the mapping; until then it may get none of its changes.",
                id="handlers.W001",
            )


def _about(mapping: HandlerMapping, message: str) -> str:
    return f"{mapping.listener}, {mapping.get_on_display()} {mapping.entity}: {message}"
