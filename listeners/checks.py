"""System checks: stored connections that the server's settings do not let out, and, on deployment,
settings that leave more open than a site needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connections

_ADVICE = "Correct it, or have CDC_OUTBOUND_ALLOWED, CDC_SECRET_VARIABLES or CDC_SECRET_FOLDERS "


def register_all() -> None:
    # Not among the checks of the database: those run on request only.
    checks.register(check_connections, "listeners")
    checks.register(check_hosts, checks.Tags.security, deploy=True)
    checks.register(check_webhook, checks.Tags.security, deploy=True)


def check_connections(**_: Any) -> list[checks.CheckMessage]:
    """listeners.W001 for each connection or listener that the rules of today would not take."""
    from listeners.models import Connection, Listener

    try:
        if Listener._meta.db_table not in connections["default"].introspection.table_names():
            return []  # not migrated yet
        rows = [*Connection.objects.all(), *Listener.objects.select_related("connection")]
    except DatabaseError:
        return []  # a database that does not answer is for other checks to report
    return [message for row in rows for message in _invalid(row)]


def _invalid(row: Any) -> Iterator[checks.CheckMessage]:
    try:
        row.clean()
    except ValidationError as error:
        for field, messages in error.message_dict.items():
            yield checks.Warning(
                f"{row._meta.verbose_name} {row}: {field}: {' '.join(messages)}",
                hint=f"{_ADVICE}allow it. Until then it may not work.",
                id="listeners.W001",
            )


def check_hosts(**_: Any) -> list[checks.CheckMessage]:
    """listeners.W002: an ALLOWED_HOSTS of * says of no host that it is served."""
    if "*" not in settings.ALLOWED_HOSTS:
        return []
    return [
        checks.Warning(
            "ALLOWED_HOSTS is *: what is closed to a site that others reach is open here.",
            hint="Name the hosts that the console is served under: CDC_HTTPS, "
            "CDC_OUTBOUND_ALLOWED, CDC_SECRET_VARIABLES and CDC_SECRET_FOLDERS then have the "
            "defaults of such a site.",
            id="listeners.W002",
        )
    ]


def check_webhook(**_: Any) -> list[checks.CheckMessage]:
    """listeners.W003: incidents are told in the plain."""
    if urlsplit(settings.CDC_INCIDENT_WEBHOOK).scheme != "http":
        return []
    return [
        checks.Warning(
            "CDC_INCIDENT_WEBHOOK is an http:// address: incidents can be read on the way.",
            hint="Give it an https:// address.",
            id="listeners.W003",
        )
    ]
