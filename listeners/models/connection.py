"""The models of a connection to a Salesforce org, and of the org's daily event limit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.crypto import salted_hmac

from listeners.models import connection_rules as rules
from listeners.models.connection_fields import PRODUCTION, SANDBOX, ConnectionFields
from listeners.secrets.encrypted_field import REFERENCES, Secret, SecretUnavailable


class Connection(ConnectionFields):
    """A Salesforce org, how to log in to it, and how to reach it."""

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        for name in ("base_url", "login_url"):
            setattr(self, name, getattr(self, name).rstrip("/"))
        errors = rules.problems(self)
        if errors:
            raise ValidationError(errors)

    @property
    def default_login_url(self) -> str:
        """The default login URL, for a production org or a sandbox."""
        return SANDBOX if self.is_sandbox else PRODUCTION

    @property
    def fingerprint(self) -> str:
        """A digest that changes with the connection's settings and the values of its references."""
        config = self.client_config if isinstance(self.client_config, dict) else {}
        parts = [getattr(self, name).reference for name in self.SECRETS]
        for text in _texts([self.optional_params, config, self.refresh_config]):
            # In a form-encoded payload a reference follows `name=`.
            parts += [text] if text.startswith(REFERENCES) else re.split("[&=]", text)
        values = [_looked_up(part) for part in parts if part.startswith(REFERENCES)]
        values += [_modified(path) for path in _texts(config.get("tls"))]
        text = repr((self.pk, self.updated_at.isoformat(), values))
        return salted_hmac("listeners.connection", text, algorithm="sha256").hexdigest()


class OrgUsage(models.Model):
    """The org's limit `DailyDeliveredPlatformEvents`: events to all subscribers within 24 hours."""

    connection = models.OneToOneField(
        Connection, models.CASCADE, related_name="usage", primary_key=True
    )
    maximum = models.BigIntegerField(null=True)
    remaining = models.BigIntegerField(null=True)
    read_at = models.DateTimeField(null=True)
    # Why the last attempt to read the limit failed; empty if it succeeded.
    error = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"{self.connection}: {self.remaining} of {self.maximum}"


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for item in value.values():
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)


def _looked_up(reference: str) -> str:
    try:
        return Secret(reference).reveal()
    except SecretUnavailable as unavailable:
        return str(unavailable)


def _modified(path: str) -> str:
    try:
        return f"{path} {Path(path).stat().st_mtime_ns}"
    except (OSError, ValueError):
        return f"{path} cannot be read"
