"""System checks of the API's tokens."""

from __future__ import annotations

from typing import Any

from django.core import checks
from django.db import DatabaseError, connections


def register_all() -> None:
    checks.register(check_plain_tokens, checks.Tags.security, deploy=True)


def check_plain_tokens(**_: Any) -> list[checks.CheckMessage]:
    """api.W001: tokens of Django REST framework are stored as they are sent."""
    from django.contrib.auth import get_user_model
    from rest_framework.authtoken.models import Token

    try:
        if Token._meta.db_table not in connections["default"].introspection.table_names():
            return []  # not migrated yet
        name = f"user__{get_user_model().USERNAME_FIELD}"
        users = sorted(Token.objects.values_list(name, flat=True))
    except DatabaseError:
        return []  # a database that does not answer is for other checks to report
    if not users:
        return []
    return [
        checks.Warning(
            f"Tokens that drf_create_token made are stored in plain text: of {', '.join(users)}.",
            hint="Make new ones with create_api_token, which keeps a digest, and delete these.",
            id="api.W001",
        )
    ]
