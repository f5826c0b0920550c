"""The destination: a broker of another project, to which tasks are sent."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models

from listeners.secrets.encrypted_field import EncryptedField

_word = RegexValidator(r"^[\w.-]+$", "Use letters, digits, dots, hyphens and underscores.")


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
        help_text="Path of a PEM file with the authorities that may sign the broker's certificate. "
        "Empty: the system's. Only for rediss:// and amqps://.",
    )
    result_backend = EncryptedField(
        "result backend URL",
        blank=True,
        help_text="The result backend of that project, from which the errors of failed tasks are "
        "read. Empty: the attempt names the worker whose log has the error.",
    )
    worker_events = models.BooleanField(
        default=False,
        help_text="Read the events of workers started with -E: when a task began, and the error "
        "of a failed one.",
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
