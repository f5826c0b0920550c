"""Stored secrets encrypted anew, with the first of CDC_ENCRYPTION_KEYS, so that the others can go.

Each secret is written by itself, and only over what was read: what a login stores meanwhile stays,
a run that is killed has lost nothing, and the next one does what is left.
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
    CURRENT = "current"  # with the first key already
    ROTATED = "rotated"
    CHANGED = "changed"  # by somebody else meanwhile; the next run looks again
    UNREADABLE = "unreadable"  # with a key that is not given


@dataclass(slots=True)
class Rotation:
    """What was found, and where what cannot be read is."""

    counts: Counter[Outcome] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)

    def add(self, place: str, outcome: Outcome) -> None:
        self.counts[outcome] += 1
        if outcome is Outcome.UNREADABLE:
            self.unreadable.append(place)


def rotate(*, dry_run: bool) -> Rotation:
    """All secrets of the database and of the token store in Redis. Never inside a transaction.

    References and what is empty hold nothing that is encrypted. Raises TokenStoreUnavailable.
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
    """Of every model that is installed."""
    return [
        (model, one.name)
        for model in apps.get_models()
        for one in model._meta.local_fields
        if isinstance(one, EncryptedField)
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
    anew = _anew(secret)
    if isinstance(anew, Outcome):
        return anew
    if dry_run:
        return Outcome.ROTATED
    as_read = model._default_manager.filter(**{"pk": pk, name: secret})
    return Outcome.ROTATED if as_read.update(**{name: anew}) else Outcome.CHANGED


def _in_redis(*, dry_run: bool) -> Iterator[tuple[str, Outcome]]:
    for connection_id in TokenState.objects.order_by("pk").values_list("pk", flat=True):
        store = RedisStore(connection_id)
        for seed, secret in store.stored().items():
            outcome = _anew(secret)
            if isinstance(outcome, Secret):
                replaced = dry_run or store.replace(seed, secret, outcome)
                outcome = Outcome.ROTATED if replaced else Outcome.CHANGED
            yield f"Redis, tokens of connection {connection_id}", outcome


def _anew(secret: Secret) -> Secret | Outcome:
    """The same value, encrypted with the first key; or why it stays as it is."""
    if secret.has_first_key:
        return Outcome.CURRENT
    try:
        return secret.encrypted_anew()
    except SecretUnavailable:
        return Outcome.UNREADABLE
