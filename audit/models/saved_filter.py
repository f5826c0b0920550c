"""Saved filters of the console's lists."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q


class SavedFilterQuerySet(models.QuerySet["SavedFilter"]):
    def seen_by(self, user_id: int) -> SavedFilterQuerySet:
        """Return the user's own filters and the shared ones."""
        return self.filter(Q(owner=user_id) | Q(is_shared=True))


class SavedFilter(models.Model):
    """A named search with filters, of one of the console's lists."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    # The model's label, such as `audit.auditlogentry`.
    list = models.CharField(max_length=100)
    name = models.CharField(max_length=60)
    query = models.TextField(help_text="Query string of the list.")
    is_shared = models.BooleanField("shared", default=False)

    objects = SavedFilterQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(fields=["owner", "list", "name"], name="saved_filter_once"),
        ]

    def __str__(self) -> str:
        return self.name
