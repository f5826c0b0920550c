"""Queries of handler mappings. A deleted mapping keeps its row, and is hidden."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils import timezone

from listeners.models import Listener


class MappingQuerySet(models.QuerySet[Any]):
    def paused(self) -> MappingQuerySet:
        return self.filter(paused_at__isnull=False)

    def deleted(self) -> MappingQuerySet:
        return self.filter(deleted_at__isnull=False)

    def delete(self) -> tuple[int, dict[str, int]]:
        """Hide the mappings and keep their rows for their deliveries (`mappings.soft_delete`),
        which may be millions, and to which a running ingest may add. A deleted mapping has no
        handler, so no delivery is moved to it (`mappings.retarget`)."""
        number = self.order_by().update(
            deleted_at=timezone.now(),
            emptied_at=None,
            handler="",
            task="",
            paused_at=None,
            paused_by="",
            pause_reason="",
        )
        return number, {self.model._meta.label: number}

    delete.queryset_only = True  # type: ignore[attr-defined]


class MappingManager(models.Manager[Any]):
    """The mappings that are not deleted."""

    def get_queryset(self) -> MappingQuerySet:
        return MappingQuerySet(self.model, using=self._db).filter(deleted_at=None)

    def paused(self) -> MappingQuerySet:
        return self.get_queryset().paused()

    def create_defaults(self, listener: Listener) -> list[Any]:
        """Add the missing ones of onCreate, onUpdate, onDelete and onRestore, and return them.

        They match every entity and have no handler, so such changes are only recorded. Inside the
        caller's transaction.
        """
        present = set(self.filter(listener=listener).values_list("on", flat=True))
        missing = [on for on in self.model.On.values if on not in present]
        return [self.create(listener=listener, on=on) for on in missing]
