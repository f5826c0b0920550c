"""System checks: stored connections and listeners that the current rules refuse and, with
`check --deploy`, settings that are too permissive for production."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connections

_ADVICE = "Correct it, or use CDC_OUTBOUND_ALLOWED, CDC_SECRET_VARIABLES or CDC_SECRET_FOLDERS "


def register_all() -> None:
    # Without the database tag, because Django runs checks with that tag only on request.
    checks.register(check_connections, "listeners")
    checks.register(check_hosts, checks.Tags.security, deploy=True)
    checks.register(check_webhook, checks.Tags.security, deploy=True)


def check_connections(**_: Any) -> list[checks.CheckMessage]:
    """Report listeners.W001 for each stored connection or listener that is no longer valid."""
    from listeners.models import Connection, Listener

    try:
        if Listener._meta.db_table not in connections["default"].introspection.table_names():
            return []  # not migrated yet
        rows = [*Connection.objects.all(), *Listener.objects.select_related("connection")]
    except DatabaseError:
        return []  # other checks report a database that does not answer
    return [message for row in rows for message in _invalid(row)]


def _invalid(row: Any) -> Iterator[checks.CheckMessage]:
    try:
        row.clean()
    except ValidationError as error:
        for field, messages in error.message_dict.items():
            yield checks.Warning(
                f"{row._meta.verbose_name} {row}: {field}: {' '.join(messages)}",
                hint=f"{_ADVICE}to allow it. Until then it may not work.",
                id="listeners.W001",
            )


def check_hosts(**_: Any) -> list[checks.CheckMessage]:
    """Report listeners.W002 when ALLOWED_HOSTS is `*`, which does not name the site's hosts."""
    if "*" not in settings.ALLOWED_HOSTS:
        return []
    return [
        checks.Warning(
            "ALLOWED_HOSTS is *: security settings keep the permissive defaults of a local "
            "installation.",
            hint="List the hosts that serve the console. CDC_HTTPS, CDC_OUTBOUND_ALLOWED, "
            "CDC_SECRET_VARIABLES and CDC_SECRET_FOLDERS then use the strict defaults of a public "
            "site.",
            id="listeners.W002",
        )
    ]


def check_webhook(**_: Any) -> list[checks.CheckMessage]:
    """Report listeners.W003 when incident notifications are sent without encryption."""
    if urlsplit(settings.CDC_INCIDENT_WEBHOOK).scheme != "http":
        return []
    return [
        checks.Warning(
            "CDC_INCIDENT_WEBHOOK is an http:// URL: incident notifications are sent unencrypted.",
            hint="Use an https:// URL.",
            id="listeners.W003",
        )
    ]
