"""System checks: mappings that name a handler nobody registered."""

from typing import Any

from django.core import checks
from django.db import DatabaseError, connections

from handlers import registry


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
    """handlers.E001 for each mapping whose handler is not registered."""
    from handlers.models import HandlerMapping

    try:
        if HandlerMapping._meta.db_table not in connections["default"].introspection.table_names():
            return []  # not migrated yet
        mappings = list(HandlerMapping.objects.exclude(handler="").select_related("listener"))
    except DatabaseError:
        return []  # a database that does not answer is for other checks to report
    return [
        checks.Error(
            f"{mapping.listener}, {mapping.get_on_display()} {mapping.entity}: "
            + unregistered_message(mapping.handler),
            hint="Put the function into an installed app's cdc_handlers.py or name its module in "
            "CDC_HANDLER_MODULES, or choose another handler.",
            id="handlers.E001",
        )
        for mapping in mappings
        if registry.find(mapping.handler) is None
    ]
