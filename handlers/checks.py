"""System checks for stored handler mappings and destinations that cannot work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.core import checks
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connections

from handlers.sdk import registry

if TYPE_CHECKING:
    from handlers.models import Destination, HandlerMapping


def register_all() -> None:
    # Not tagged as database checks: those run only on request, and plain `check` must show these.
    checks.register(check_modules, "handlers")
    checks.register(check_mappings, "handlers")
    checks.register(check_destinations, "handlers")


def unregistered_message(handler: str) -> str:
    """Return the message about an unregistered handler for checks, admin and API."""
    known = ", ".join(registry.names()) or "none"
    return (
        f"No handler is registered under the name {handler!r}. Its deliveries wait until one is. "
        f"Registered: {known}."
    )


def check_modules(**_: Any) -> list[checks.CheckMessage]:
    """Return handlers.E002 for each handler module that could not be imported."""
    return [
        checks.Error(
            f"The handler module {module} cannot be imported: {reason}",
            hint="Correct the module. Until then, deliveries to its handlers wait.",
            id="handlers.E002",
        )
        for module, reason in registry.import_failures.items()
    ]


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


def check_destinations(**_: Any) -> list[checks.CheckMessage]:
    """Return handlers.W002 for each stored destination that the current rules refuse, or whose
    certificate cannot be read."""
    from handlers.models import Destination

    try:
        if Destination._meta.db_table not in connections["default"].introspection.table_names():
            return []  # not migrated yet
        destinations = list(Destination.objects.all())
    except DatabaseError:
        return []  # other checks report a database that does not answer
    return [
        checks.Warning(
            f"destination {destination}: {text}",
            hint="Correct it, or use CDC_OUTBOUND_ALLOWED, CDC_SECRET_VARIABLES or "
            "CDC_SECRET_FOLDERS to allow it. Until then its deliveries may wait.",
            id="handlers.W002",
        )
        for destination in destinations
        for text in _flaws(destination)
    ]


def _flaws(destination: Destination) -> Iterator[str]:
    try:
        destination.clean()
    except ValidationError as error:
        for field, messages in error.message_dict.items():
            yield f"{field}: {' '.join(messages)}"
    if destination.ca_certificate and not os.access(destination.ca_certificate, os.R_OK):
        yield f"ca_certificate: {destination.ca_certificate} cannot be read."


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
