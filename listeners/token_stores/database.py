"""Tokens in the database, locked on its own clock."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from listeners.models import TokenState
from listeners.salesforce.token_store import Kept, TokenStoreUnavailable
from listeners.secrets import Secret, SecretUnavailable
from listeners.token_stores.apart import apart


class DatabaseStore:
    def __init__(self, connection_id: int) -> None:
        self._connection_id = connection_id

    def load(self) -> Kept:
        return readable(apart(self._stored))

    def lock(self, owner: str, seconds: float) -> int | None:
        return apart(lambda: self._lock(owner, seconds))

    def extend(self, fence: int, seconds: float) -> bool:
        return self._change(fence, lock_until=Now() + timedelta(seconds=seconds))

    def save(self, fence: int, kept: Kept) -> bool:
        return self._change(fence, kept=Secret.of(kept.to_json()))

    def unlock(self, fence: int) -> None:
        self._change(fence, lock_owner="", lock_until=None)

    def close(self) -> None:
        connection.close()

    def _rows(self) -> QuerySet[TokenState]:
        return TokenState.objects.filter(connection_id=self._connection_id)

    def _stored(self) -> Secret:
        row = self._rows().only("kept").first()
        return row.kept if row else Secret("")

    def _lock(self, owner: str, seconds: float) -> int | None:
        TokenState.objects.bulk_create(
            [TokenState(connection_id=self._connection_id)], ignore_conflicts=True
        )
        free = Q(lock_owner="") | Q(lock_until__isnull=True) | Q(lock_until__lt=Now())
        taken = (
            self._rows()
            .filter(free)
            .update(
                lock_owner=owner,
                lock_until=Now() + timedelta(seconds=seconds),
                fence=F("fence") + 1,
            )
        )
        if not taken:
            return None
        mine = self._rows().filter(lock_owner=owner).values_list("fence", flat=True)
        return mine.first()

    def _change(self, fence: int, **changes: Any) -> bool:
        return bool(apart(lambda: self._rows().filter(fence=fence).update(**changes)))


def readable(stored: Secret) -> Kept:
    """What is stored, decrypted. Raises TokenStoreUnavailable for what cannot be read."""
    try:
        return Kept.from_json(stored.reveal())
    except SecretUnavailable as unavailable:
        why = str(unavailable)
    except (ValueError, TypeError, KeyError):
        why = "it holds something that this version did not write"
    raise TokenStoreUnavailable(why)
