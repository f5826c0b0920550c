"""Models of a connection's logins: current tokens, their lock, refusals, and spent tokens."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q

from listeners.models.connection import Connection
from listeners.secrets.encrypted_field import EncryptedField


def _new_key() -> str:
    return uuid.uuid4().hex


class TokenState(models.Model):
    """A connection's login lock and refusals. Writes compare and swap the fence."""

    connection = models.OneToOneField(
        Connection, models.CASCADE, related_name="token_state", primary_key=True
    )
    #: The name under which Redis keeps this connection's tokens.
    key = models.CharField(max_length=32, default=_new_key, unique=True)

    # The lock of the token store "database". The fence grows with every holder, so that a former
    # holder can no longer write.
    fence = models.BigIntegerField(default=0)
    lock_owner = models.CharField(max_length=200, blank=True)
    lock_until = models.DateTimeField(null=True, blank=True)

    # Consecutive refusals of the same credentials, counted over all processes.
    refused_seed = models.CharField(max_length=64, blank=True)
    refusals = models.PositiveIntegerField(default=0)
    refused_at = models.DateTimeField(null=True, blank=True)
    refusal = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(fence__gte=0), name="token_fence_not_negative"),
        ]

    def __str__(self) -> str:
        return f"Logins of {self.connection}"


class KeptTokens(models.Model):
    """The tokens of one set of credentials, in the token store "database"."""

    connection = models.ForeignKey(Connection, models.CASCADE, related_name="kept_tokens")
    seed = models.CharField(max_length=64)
    #: `listeners.salesforce.tokens.store.StoredTokens`, in JSON.
    kept = EncryptedField()
    kept_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "kept tokens"
        constraints = [
            models.UniqueConstraint(fields=["connection", "seed"], name="kept_once_a_seed"),
        ]

    def __str__(self) -> str:
        return f"Tokens of {self.connection}"


class SpentToken(models.Model):
    """The digest of a refresh token that was used or revoked, and must never be sent again."""

    connection = models.ForeignKey(Connection, models.CASCADE, related_name="spent_tokens")
    digest = models.CharField(max_length=64, help_text="SHA-256 of the token.")
    spent_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["connection", "digest"], name="spent_once"),
        ]

    def __str__(self) -> str:
        return f"A spent refresh token of {self.connection}"
