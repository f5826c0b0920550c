"""The destination: a broker of another project, to which tasks are sent."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

from django.apps import apps
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import ProtectedError

from handlers.models import broker_url
from listeners.secrets import reference_rules
from listeners.secrets.encrypted_field import (
    REFERENCES,
    EncryptedField,
    Secret,
    SecretUnavailable,
    described,
)

_word = RegexValidator(r"^[\w.-]+$", "Use letters, digits, dots, hyphens and underscores.")

#: What to do before a destination can be deleted.
HOW_TO_FREE = (
    "First change or delete the mappings, and wait for the reports of the tasks under way: an "
    "attempt ends at its deadline at the latest, or an hour later if the broker does not answer."
)


class Destination(models.Model):
    """A named broker whose workers run external tasks, and how their outcomes are read there."""

    name = models.CharField(max_length=100, unique=True, validators=[_word])
    broker = EncryptedField(
        "broker URL",
        help_text="Redis or RabbitMQ, such as redis://:password@host:6379/0 or "
        "amqps://user:password@host/vhost.",
    )
    ca_certificate = models.CharField(
        "CA certificate",
        max_length=500,
        blank=True,
        help_text="Path of a PEM file with the authorities that may sign the certificates of the "
        "broker and the result backend. Empty: the system's. Only for rediss:// and amqps://.",
    )
    result_backend = EncryptedField(
        "result backend URL",
        blank=True,
        help_text="The Redis result backend of that project, from which the errors of failed tasks "
        "are read. Empty: the attempt names the worker whose log has the error.",
    )
    worker_events = models.BooleanField(
        default=False,
        help_text="Read the events of workers started with -E: when a task began, and the error "
        "of a failed one.",
    )

    #: The fields that hold secrets, and the schemes of their URLs.
    SECRETS: ClassVar = {"broker": broker_url.BROKERS, "result_backend": broker_url.REDIS}

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def address(self) -> str:
        """The broker's URL without user and password, or the reference to it."""
        try:
            url = "" if self.broker.reference else self.broker.reveal()
        except SecretUnavailable:
            url = ""
        return broker_url.without_login(url) or described(self.broker)

    def clean(self) -> None:
        errors = {name: self._url_flaw(name, schemes) for name, schemes in self.SECRETS.items()}
        if not self.broker:
            errors["broker"] = "Enter the broker's URL, or a reference: env:NAME or file:PATH."
        errors["ca_certificate"] = self._certificate_flaw()
        if found := {name: text for name, text in errors.items() if text}:
            raise ValidationError(found)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete the destination; deleted mappings without open deliveries forget it first.

        Inside the caller's transaction. Raises ProtectedError while mappings use it or tasks are
        under way there: their reports could not be read any more.
        """
        if sent := self._under_way():
            raise ProtectedError(f"Tasks are under way at destination {self}.", {*sent[:1]})
        self.mappings(manager="with_deleted").filter(emptied_at__isnull=False).update(
            destination=None
        )
        return super().delete(*args, **kwargs)

    def users(self, *, leaving: Collection[int] = ()) -> list[str]:
        """Return the mappings that use it, also deleted ones whose deliveries still do, without
        those with the ids `leaving`, and the number of tasks under way there. The mappings of these
        may name another destination since."""
        mappings = self.mappings(manager="with_deleted").filter(emptied_at=None)
        mappings = mappings.exclude(pk__in=leaving)
        deleted = "a deleted mapping, whose deliveries still wait to be sent or for their reports"
        users = [
            f"{mapping.listener}, {deleted if mapping.is_deleted else mapping}"
            for mapping in mappings.select_related("listener").order_by("id")
        ]
        if sent := self._under_way().count():
            users.append("1 task under way" if sent == 1 else f"{sent:,} tasks under way")
        return users

    def _under_way(self) -> models.QuerySet[Any]:
        rows: models.QuerySet[Any] = apps.get_model("handlers", "Delivery").objects.order_by()
        return rows.filter(destination=self, is_tracked=True, state__in=("queued", "running"))

    def _url_flaw(self, name: str, schemes: dict[str, int]) -> str:
        secret: Secret = getattr(self, name)
        if secret.reference in REFERENCES and secret:
            return "Add the name of the variable or file: env:NAME or file:PATH."
        if secret.reference:  # its value is checked when it is used
            return (
                reference_rules.sentence(text)
                if (text := reference_rules.flaw(secret.reference))
                else ""
            )
        try:
            url = secret.reveal()
        except SecretUnavailable as unavailable:
            return f"It cannot be checked: {unavailable}."
        return broker_url.flaw(url, schemes) if url else ""

    def _certificate_flaw(self) -> str:
        if not self.ca_certificate:
            return ""
        secrets = [secret for name in self.SECRETS if (secret := getattr(self, name))]
        if any(secret.reference for secret in secrets):
            return ""
        try:
            uses_tls = any(broker_url.uses_tls(secret.reveal()) for secret in secrets)
        except SecretUnavailable:
            return ""
        return "" if uses_tls else "Only rediss:// and amqps:// use it; leave it empty."
