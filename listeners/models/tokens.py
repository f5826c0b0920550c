"""What is kept of a connection's logins: its current tokens, their lock, and what was refused."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q

from listeners.models.connection import Connection
from listeners.secrets.encrypted_field import EncryptedField


def _new_key() -> str:
    return uuid.uuid4().hex


class TokenState(models.Model):
    """One row a connection. Written by whoever logs in, by compare-and-swap on the fence."""

    connection = models.OneToOneField(
        Connection, models.CASCADE, related_name="token_state", primary_key=True
    )
    #: The name under which other stores keep this connection's tokens.
    key = models.CharField(max_length=32, default=_new_key, unique=True)

    # The lock of the token store "database". Its fence grows with every holder: who held it before
    # cannot write any more.
    fence = models.BigIntegerField(default=0)
    lock_owner = models.CharField(max_length=200, blank=True)
    lock_until = models.DateTimeField(null=True, blank=True)

    # Logins refused in a row with the same credentials, whatever process tried.
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
    """For the token store "database": what is kept of one set of credentials."""

    connection = models.ForeignKey(Connection, models.CASCADE, related_name="kept_tokens")
    seed = models.CharField(max_length=64)
    #: `listeners.salesforce.tokens.store.Kept`, in JSON.
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
    """A refresh token that was used up or revoked, as a digest: never to be sent again."""

    connection = models.ForeignKey(Connection, models.CASCADE, related_name="spent_tokens")
    digest = models.CharField(max_length=64, help_text="SHA-256 of the token.")
    spent_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["connection", "digest"], name="spent_once"),
        ]

    def __str__(self) -> str:
        return f"A spent refresh token of {self.connection}"
