"""System checks of the API's tokens."""

from __future__ import annotations

from typing import Any

from django.core import checks
from django.db import DatabaseError, connections


def register_all() -> None:
    checks.register(check_plain_tokens, checks.Tags.security, deploy=True)


def check_plain_tokens(**_: Any) -> list[checks.CheckMessage]:
    """api.W001: tokens of Django REST framework are stored in plain text."""
    from django.contrib.auth import get_user_model
    from rest_framework.authtoken.models import Token

    try:
        if Token._meta.db_table not in connections["default"].introspection.table_names():
            return []  # the table is not migrated yet
        name = f"user__{get_user_model().USERNAME_FIELD}"
        users = sorted(Token.objects.values_list(name, flat=True))
    except DatabaseError:
        return []  # other checks report an unavailable database
    if not users:
        return []
    return [
        checks.Warning(
            f"Tokens created by drf_create_token are stored in plain text: of {', '.join(users)}.",
            hint="Replace them with tokens of create_api_token, which stores only a digest.",
            id="api.W001",
        )
    ]
