"""Re-encrypts stored secrets with the first of CDC_ENCRYPTION_KEYS, to retire the other keys.

Each secret is replaced by compare-and-swap: a token that a login stores at the same time is kept,
and after an interruption the next run continues.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from django.apps import apps
from django.conf import settings
from django.db import models

from listeners.models import TokenState
from listeners.secrets.encrypted_field import EncryptedField, Secret, SecretUnavailable
from listeners.token_stores.redis import RedisStore

_BATCH = 500


class Outcome(StrEnum):
    CURRENT = "current"  # already encrypted with the first key
    ROTATED = "rotated"
    CHANGED = "changed"  # changed by another process during the run; the next run retries
    UNREADABLE = "unreadable"  # encrypted with a key that is not configured


@dataclass(slots=True)
class Rotation:
    """The number of secrets by outcome, and the places of unreadable ones."""

    counts: Counter[Outcome] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)

    def add(self, place: str, outcome: Outcome) -> None:
        self.counts[outcome] += 1
        if outcome is Outcome.UNREADABLE:
            self.unreadable.append(place)


def rotate(*, dry_run: bool) -> Rotation:
    """Re-encrypt all secrets in the database and in Redis. Never inside a transaction.

    References and empty secrets are skipped. Raises TokenStoreUnavailable.
    """
    found = Rotation()
    for model, name in encrypted_fields():
        for pk, secret in _stored(model, name):
            place = f"{model._meta.label} {pk}: {name}"
            found.add(place, _in_database(model, name, pk, secret, dry_run=dry_run))
    if settings.REDIS_URL:
        for place, outcome in _in_redis(dry_run=dry_run):
            found.add(place, outcome)
    return found


def encrypted_fields() -> list[tuple[type[models.Model], str]]:
    """Return the encrypted fields of all installed models, as (model, name)."""
    return [
        (model, field.name)
        for model in apps.get_models()
        for field in model._meta.local_fields
        if isinstance(field, EncryptedField)
    ]


def _stored(model: type[models.Model], name: str) -> Iterator[tuple[int, Secret]]:
    rows = model._default_manager.exclude(**{name: ""}).order_by("pk").values_list("pk", name)
    last = 0
    while batch := list(rows.filter(pk__gt=last)[:_BATCH]):
        yield from ((pk, secret) for pk, secret in batch if not secret.reference)
        last = batch[-1][0]


def _in_database(
    model: type[models.Model], name: str, pk: int, secret: Secret, *, dry_run: bool
) -> Outcome:
    rotated = _reencrypted(secret)
    if isinstance(rotated, Outcome):
        return rotated
    if dry_run:
        return Outcome.ROTATED
    as_read = model._default_manager.filter(**{"pk": pk, name: secret})
    return Outcome.ROTATED if as_read.update(**{name: rotated}) else Outcome.CHANGED


def _in_redis(*, dry_run: bool) -> Iterator[tuple[str, Outcome]]:
    for connection_id in TokenState.objects.order_by("pk").values_list("pk", flat=True):
        store = RedisStore(connection_id)
        for seed, secret in store.stored().items():
            outcome = _reencrypted(secret)
            if isinstance(outcome, Secret):
                replaced = dry_run or store.replace(seed, secret, outcome)
                outcome = Outcome.ROTATED if replaced else Outcome.CHANGED
            yield f"Redis, tokens of connection {connection_id}", outcome


def _reencrypted(secret: Secret) -> Secret | Outcome:
    """Return the secret encrypted with the first key, or the outcome if it is left unchanged."""
    if secret.has_first_key:
        return Outcome.CURRENT
    try:
        return secret.encrypted_anew()
    except SecretUnavailable:
        return Outcome.UNREADABLE
