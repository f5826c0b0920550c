"""API tokens, of which only a digest and the first characters are stored."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

PREFIX = "cdc_"
_SHOWN = len(PREFIX) + 4


class ApiTokenQuerySet(models.QuerySet[Any]):
    def valid(self, now: datetime) -> ApiTokenQuerySet:
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now))

    def of_key(self, key: str) -> ApiTokenQuerySet:
        return self.filter(digest=digest_of(key))


class ApiToken(models.Model):
    """A token with which a program acts as a user. A user may have several tokens."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="api_tokens",
        help_text="The user that the token acts as.",
    )
    name = models.CharField(
        max_length=100, help_text="The program that uses the token, such as a CI pipeline."
    )
    begins_with = models.CharField(max_length=_SHOWN, editable=False)
    #: SHA-256 suffices, since the key is random and has 256 bits.
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: never expires.")
    last_used_on = models.DateField(null=True, editable=False, help_text="Last day of use, in UTC.")

    #: The key of a new token; it is not stored.
    key = ""

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"{self.name} ({self.begins_with}…) of {self.user}"

    def make_key(self) -> str:
        """Create and return a new key, which cannot be read later. The caller saves the token."""
        self.key = PREFIX + secrets.token_urlsafe(32)
        self.begins_with, self.digest = self.key[:_SHOWN], digest_of(self.key)
        return self.key


def digest_of(key: str) -> str:
    return hashlib.sha256(key.encode(errors="backslashreplace")).hexdigest()
