"""Tokens in the database, locked on its own clock."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from listeners.models import KeptTokens, TokenState
from listeners.salesforce.tokens.store import Kept
from listeners.secrets.encrypted_field import Secret, SecretUnavailable
from listeners.token_stores.errors import answered

log = structlog.get_logger(__name__)

#: Tokens of credentials that nobody has used for so long are forgotten.
_FORGET = timedelta(days=7)


class DatabaseStore:
    def __init__(self, connection_id: int) -> None:
        self._connection_id = connection_id

    def load(self, seed: str) -> Kept:
        row = answered(
            KeptTokens.objects.filter(connection_id=self._connection_id, seed=seed).first
        )
        return readable(row.kept) if row else Kept()

    def lock(self, owner: str, seconds: float) -> int | None:
        return answered(lambda: self._lock(owner, seconds))

    def extend(self, fence: int, seconds: float) -> bool:
        return self._change(fence, lock_until=Now() + timedelta(seconds=seconds))

    def save(self, fence: int, kept: Kept) -> bool:
        return answered(lambda: self._save(fence, kept))

    def unlock(self, fence: int) -> None:
        self._change(fence, lock_owner="", lock_until=None)

    def close(self) -> None:
        connection.close()

    def _state(self) -> QuerySet[TokenState]:
        return TokenState.objects.filter(connection_id=self._connection_id)

    def _lock(self, owner: str, seconds: float) -> int | None:
        TokenState.objects.bulk_create(
            [TokenState(connection_id=self._connection_id)], ignore_conflicts=True
        )
        # A name for this lock alone: its fence is read back by it.
        name = f"{owner} {uuid.uuid4().hex}"
        free = Q(lock_owner="") | Q(lock_until__isnull=True) | Q(lock_until__lt=Now())
        self._state().filter(free).update(
            lock_owner=name,
            lock_until=Now() + timedelta(seconds=seconds),
            fence=F("fence") + 1,
        )
        return self._state().filter(lock_owner=name).values_list("fence", flat=True).first()

    def _save(self, fence: int, kept: Kept) -> bool:
        """In one transaction, under the fence's row lock."""
        with transaction.atomic():
            if not self._state().filter(fence=fence).update(fence=fence):
                return False
            rows = KeptTokens.objects.filter(connection_id=self._connection_id)
            rows.update_or_create(
                connection_id=self._connection_id,
                seed=kept.seed,
                defaults={"kept": kept.to_json()},  # the field encrypts it
            )
            rows.exclude(seed=kept.seed).filter(kept_at__lt=Now() - _FORGET).delete()
        return True

    def _change(self, fence: int, **changes: Any) -> bool:
        return bool(answered(lambda: self._state().filter(fence=fence).update(**changes)))


def readable(stored: Secret) -> Kept:
    """What is stored, decrypted. What cannot be read counts as nothing: whether a configured
    refresh token may be sent once more, the ledger knows."""
    try:
        return Kept.from_json(stored.reveal())
    except SecretUnavailable as unavailable:
        log.error("stored tokens cannot be read", reason=str(unavailable))
    except ValueError:
        log.error("stored tokens cannot be read", reason="they are not in the form that is stored")
    return Kept()
