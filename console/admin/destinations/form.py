"""The form of a destination; stored URLs are never shown, since they may hold passwords."""

from __future__ import annotations

from typing import ClassVar

from console.admin.form_fields import FormWithSecrets, SecretField
from handlers.models import Destination

_REFERENCE = "Or a reference, resolved when used and not stored: env:NAME or file:PATH."


class DestinationForm(FormWithSecrets):
    broker = SecretField(
        label="Broker URL",
        help_text="Redis or RabbitMQ, such as redis://:password@host:6379/0 or "
        f"amqps://user:password@host/vhost. {_REFERENCE}",
    )
    result_backend = SecretField(
        label="Result backend URL",
        help_text="The Redis result backend of that project, which has the errors of failed tasks. "
        f"Without one, the attempt names the worker whose log has the error. {_REFERENCE}",
    )

    class Media:
        css: ClassVar = {"all": ["console/connection_form.css"]}

    class Meta:
        model = Destination
        fields = ("name", "broker", "ca_certificate", "result_backend", "worker_events")
