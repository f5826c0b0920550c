"""Keeps the product's tables in the default database."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS


class OwnTables:
    """The user's apps can be migrated in any database, and all others in the default one alone."""

    def allow_migrate(self, db: str, app_label: str, **_: Any) -> bool | None:
        is_own = app_label in settings.CDC_OWN_LABELS
        return False if is_own and db != DEFAULT_DB_ALIAS else None
