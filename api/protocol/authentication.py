"""Authentication by token."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from rest_framework.authentication import TokenAuthentication
from rest_framework.exceptions import AuthenticationFailed

from api.models import PREFIX, ApiToken
from listeners.values import is_storable_text


class ApiTokenAuthentication(TokenAuthentication):
    """Accepts our own tokens, and those of `drf_create_token`."""

    def authenticate_credentials(self, key: str) -> Any:
        if not key.startswith(PREFIX) and is_storable_text(key):
            return super().authenticate_credentials(key)
        now = timezone.now()
        tokens = ApiToken.objects.of_key(key).valid(now).select_related("user")
        token = tokens.filter(user__is_active=True).first()
        if token is None:
            raise AuthenticationFailed("Invalid token.")
        if token.last_used_on != now.date():
            # At most once a day, to keep read requests free of writes.
            ApiToken.objects.filter(pk=token.pk).update(last_used_on=now.date())
        return token.user, token
