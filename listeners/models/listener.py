"""The model of a listener: a channel of an org, and how to subscribe to it."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

from listeners import field_masking
from listeners.egress import endpoint_flaw
from listeners.models.connection import Connection
from listeners.models.connection_fields import name_validator
from listeners.salesforce.channel import channel_of
from listeners.salesforce.replay_ids import is_replay_id
from listeners.values import endpoint, storable

_HOUR, _DAY = 3600, 86_400
_LONGEST_CHANNEL = 255
_API_VERSION = re.compile(r"^[0-9]+\.[0-9]\Z")
_DEVELOPER_NAME = re.compile(r"^([A-Za-z][A-Za-z0-9]{0,14}__)?[A-Za-z](_?[A-Za-z0-9])*\Z")


class Listener(models.Model):
    """A subscription to a channel of an org, run by one process at a time."""

    class Transport(models.TextChoices):
        COMETD = "cometd", "Streaming API (CometD)"
        PUBSUB = "pubsub", "Pub/Sub API (gRPC)"

    class ReplayLost(models.TextChoices):
        EARLIEST = "earliest", "Continue with the earliest retained event"
        TIP = "tip", "Continue with new events only"
        STOP = "stop", "Stop and wait for an operator"

    class GapPolicy(models.TextChoices):
        FETCH = "fetch", "Read the record and deliver it"
        DELIVER = "deliver", "Deliver the gap event unchanged"
        RECORD = "record", "Record only"

    name = models.CharField(
        max_length=100, unique=True, default="salesforceListener", validators=[name_validator]
    )
    connection = models.ForeignKey(Connection, models.PROTECT, related_name="listeners")
    channel = models.CharField(
        max_length=_LONGEST_CHANNEL,
        default="/data/ChangeEvents",
        help_text="/data/ChangeEvents for every selected entity, /data/AccountChangeEvent for one, "
        "/data/Name__chn for a custom channel. Names are case-sensitive.",
    )
    transport = models.CharField(
        max_length=20,
        choices=Transport,
        default=Transport.COMETD,
        help_text="Which Salesforce API to subscribe with. You can switch at any time without "
        "losing the position.",
    )
    pubsub_endpoint = models.CharField(
        "Pub/Sub endpoint",
        max_length=255,
        default="api.pubsub.salesforce.com:7443",
        validators=[endpoint],
        help_text="Pub/Sub API only: host:port for TLS, http://host:port for plain text. Orgs in "
        "the EU can use api.deu.pubsub.salesforce.com:7443.",
    )
    managed_subscription = models.CharField(
        max_length=100,
        blank=True,
        default="",
        validators=[
            RegexValidator(
                _DEVELOPER_NAME,
                "Enter the developer name of a managed event subscription, such as CRM_Sync: "
                "letters, digits and single underscores, beginning with a letter.",
            )
        ],
        help_text="Pub/Sub API only: the developer name of a managed event subscription on this "
        "channel, whose position Salesforce stores too. Empty: the position is stored here only.",
    )
    replay_from = models.CharField(
        max_length=100,
        default="tip",
        help_text="Where to start the first time: tip (new events only), earliest (all events of "
        "the last 72 hours), or a replay id of either transport (52478913, "
        "0x000000000320bf810000). Later starts use the stored position.",
    )
    on_replay_lost = models.CharField(
        max_length=20,
        choices=ReplayLost,
        default=ReplayLost.EARLIEST,
        help_text="What to do when Salesforce refuses the stored position. An incident is opened "
        "in any case.",
    )
    gap_policy = models.CharField(
        max_length=20,
        choices=GapPolicy,
        default=GapPolicy.FETCH,
        help_text="What to do with a gap event, which names a changed record without its values.",
    )
    sensitive_fields = models.JSONField(
        validators=[storable],
        default=list,
        blank=True,
        help_text="Fields whose values are masked for users without the permission to see them: "
        f"Field, Entity.Field or Entity.Field.Part, such as {field_masking.EXAMPLES}. Handlers get "
        "the values.",
    )
    enabled = models.BooleanField(default=True)
    api_version = models.CharField(
        "API version",
        max_length=10,
        default="67.0",
        validators=[RegexValidator(_API_VERSION, "Enter a version such as 67.0.")],
    )
    connection_timeout = models.FloatField(
        default=30,
        validators=[MinValueValidator(0.1), MaxValueValidator(_HOUR)],
        help_text="Seconds allowed for each of connecting, handshake or topic, and subscribing.",
    )
    read_timeout = models.FloatField(
        default=30,
        validators=[MinValueValidator(0.1), MaxValueValidator(_HOUR)],
        help_text="Seconds of silence allowed beyond the time that Salesforce may hold back a "
        "response: the length of a long poll, or 270 with the Pub/Sub API.",
    )
    keep_alive_interval = models.FloatField(
        default=120,
        validators=[MinValueValidator(0.1), MaxValueValidator(_HOUR)],
        help_text="Seconds of silence after which the connection is checked, by the timeout of the "
        "long poll, TCP keep-alive and a request to Salesforce.",
    )
    session_timeout = models.FloatField(
        default=900,
        validators=[MinValueValidator(0.1), MaxValueValidator(_DAY)],
        help_text="Seconds without a response after which the session is replaced by a new one "
        "from the stored position, rather than resumed. With the Pub/Sub API: the longest silence "
        "of a stream.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        permissions = [
            ("operate_listener", "Can start and stop listeners and forget their position"),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        errors: dict[str, Any] = {}
        try:
            self.channel = channel_of(self.channel)
            if len(self.channel) > _LONGEST_CHANNEL:
                errors["channel"] = f"A channel has {_LONGEST_CHANNEL} characters at most."
        except ValueError as error:
            errors["channel"] = str(error)
        if self.replay_from not in ("tip", "earliest") and not is_replay_id(self.replay_from):
            errors["replay_from"] = (
                "Use tip, earliest, or a replay id (a whole number, or 0x followed by hex digits)."
            )
        if refused := endpoint_flaw(self.pubsub_endpoint):
            errors["pubsub_endpoint"] = refused
        if found := field_masking.flaws(self.sensitive_fields):
            errors["sensitive_fields"] = found
        if _API_VERSION.fullmatch(self.api_version) and float(self.api_version) < 37:
            errors["api_version"] = "Use version 37.0 or later: earlier ones have no change events."
        if other := self._other_on_the_subscription():
            errors["managed_subscription"] = (
                f"Listener {other} already uses {self.subscription}. A managed subscription can "
                "have only one subscriber."
            )
        if errors:
            raise ValidationError(errors)

    def _other_on_the_subscription(self) -> Listener | None:
        if not self.subscription:
            return None
        return (
            Listener.objects.filter(
                connection_id=self.connection_id,
                transport=self.transport,
                managed_subscription__iexact=self.subscription,
            )
            .exclude(pk=self.pk)
            .first()
        )

    @property
    def first_replay(self) -> str:
        """The replay id to subscribe with when no position is stored."""
        return {"tip": "-1", "earliest": "-2"}.get(self.replay_from, self.replay_from)

    @property
    def subscription(self) -> str:
        """The managed subscription that the listener uses; empty without one."""
        return self.managed_subscription if self.transport == self.Transport.PUBSUB else ""

    @property
    def fingerprint(self) -> str:
        """A digest that changes with the listener, its connection and that one's references."""
        parts = (
            self.pk,
            self.enabled,
            self.updated_at.isoformat(),
            self.connection_id,
            self.connection.fingerprint,
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()
