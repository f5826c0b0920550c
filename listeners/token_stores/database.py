"""The token store in the database, whose lock uses the database's clock.

A login runs on its own thread (`listeners.salesforce.tokens.persist`), never in the transaction of
the code that needs the token.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import structlog
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from listeners.models import KeptTokens, TokenState
from listeners.salesforce.tokens.store import StoredTokens, TokenStoreUnavailable
from listeners.secrets.encrypted_field import Secret, SecretUnavailable

log = structlog.get_logger(__name__)

Result = TypeVar("Result")

#: Tokens of other credentials are deleted when they were not renewed for this long.
_FORGET = timedelta(days=7)


def answered(work: Callable[[], Result]) -> Result:
    """Return the result of `work`. Raises TokenStoreUnavailable for a database error."""
    try:
        return work()
    except (DatabaseError, InterfaceError) as error:
        if not connection.in_atomic_block:
            connection.close()  # it may be broken
        why = str(error).strip()
    raise TokenStoreUnavailable(why)


class DatabaseStore:
    def __init__(self, connection_id: int) -> None:
        self._connection_id = connection_id

    def load(self, seed: str) -> StoredTokens:
        row = answered(
            KeptTokens.objects.filter(connection_id=self._connection_id, seed=seed).first
        )
        return readable(row.kept) if row else StoredTokens()

    def lock(self, owner: str, seconds: float) -> int | None:
        return answered(lambda: self._lock(owner, seconds))

    def extend(self, fence: int, seconds: float) -> bool:
        return self._change(fence, lock_until=Now() + timedelta(seconds=seconds))

    def save(self, fence: int, kept: StoredTokens) -> bool:
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
        # A unique name, by which the fence of this lock is read back.
        name = f"{owner} {uuid.uuid4().hex}"
        free = Q(lock_owner="") | Q(lock_until__isnull=True) | Q(lock_until__lt=Now())
        self._state().filter(free).update(
            lock_owner=name,
            lock_until=Now() + timedelta(seconds=seconds),
            fence=F("fence") + 1,
        )
        return self._state().filter(lock_owner=name).values_list("fence", flat=True).first()

    def _save(self, fence: int, kept: StoredTokens) -> bool:
        """Store the tokens in one transaction, if the fence is still the current one."""
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


def readable(stored: Secret) -> StoredTokens:
    """Return the stored tokens, decrypted; none if they cannot be read.

    It is safe to lose them here: the ledger prevents that a spent refresh token is sent again.
    """
    try:
        return StoredTokens.from_json(stored.reveal())
    except SecretUnavailable as unavailable:
        log.error("stored tokens cannot be read", reason=str(unavailable))
    except ValueError:
        log.error("stored tokens cannot be read", reason="the stored JSON is not valid")
    return StoredTokens()
