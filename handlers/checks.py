"""System checks for handler mappings that name an unregistered handler or are invalid."""

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
    # Not tagged as database checks: those run only on request, and plain `check` must show these.
    checks.register(check_mappings, "handlers")


def unregistered_message(handler: str) -> str:
    """Return the message about an unregistered handler for checks, admin and API."""
    known = ", ".join(registry.names()) or "none"
    return (
        f"No handler is registered under the name {handler!r}. Its deliveries wait until one is. "
        f"Registered: {known}."
    )


def check_mappings(**_: Any) -> list[checks.CheckMessage]:
    """Return handlers.E001 for each mapping whose handler is not registered, and handlers.W001 for
    each mapping that was stored without validation and is invalid."""
    from handlers.models import HandlerMapping

    try:
        if HandlerMapping._meta.db_table not in connections["default"].introspection.table_names():
            return []  # not migrated yet
        mappings = list(HandlerMapping.objects.select_related("listener"))
    except DatabaseError:
        return []  # other checks report a database that does not answer
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
                hint="Correct the mapping; until then it may receive no changes.",
                id="handlers.W001",
            )


def _about(mapping: HandlerMapping, message: str) -> str:
    return f"{mapping.listener}, {mapping.get_on_display()} {mapping.entity}: {message}"
