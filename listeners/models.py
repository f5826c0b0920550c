"""What to hear and how: Connection, Listener, and Position (where it stands, who runs it)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator, URLValidator
from django.db import models
from django.db.models import Q

from listeners.leases import PositionQuerySet
from listeners.salesforce.channel import validate_channel
from listeners.secrets import EncryptedField, Secret

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager

_name = RegexValidator(
    r"^[A-Za-z][A-Za-z0-9_.-]*$",
    "Use letters, digits, dots, hyphens and underscores, and begin with a letter.",
)
_url = URLValidator(schemes=["https", "http"])

TOKEN_PATH = "/services/oauth2/token"


class Connection(models.Model):
    """A Salesforce org and how to log in to it."""

    class Auth(models.TextChoices):
        CLIENT_CREDENTIALS = "client_credentials", "OAuth 2.0 client credentials"
        PASSWORD = "password", "OAuth 2.0 username and password"
        REFRESH_TOKEN = "refresh_token", "OAuth 2.0 refresh token"

    #: The fields each kind cannot do without.
    REQUIRED: dict[str, tuple[str, ...]] = {
        Auth.CLIENT_CREDENTIALS: ("base_url", "client_id", "client_secret"),
        Auth.PASSWORD: ("base_url", "username", "password"),
        Auth.REFRESH_TOKEN: ("base_url", "refresh_token", "client_id", "client_secret"),
    }
    SECRETS = ("client_secret", "password", "refresh_token")

    name = models.CharField(max_length=100, unique=True, validators=[_name])
    auth = models.CharField(
        "authentication", max_length=30, choices=Auth, default=Auth.CLIENT_CREDENTIALS
    )
    base_url = models.CharField(
        "base URL",
        max_length=500,
        validators=[_url],
        help_text="Your org's own domain, such as https://example.my.salesforce.com.",
    )
    token_url = models.CharField(
        "token URL",
        max_length=500,
        blank=True,
        validators=[_url],
        help_text=f"Where to log in. Empty: the base URL with {TOKEN_PATH}.",
    )
    refresh_url = models.CharField(
        "refresh URL",
        max_length=500,
        blank=True,
        validators=[_url],
        help_text=f"Where a refresh token is exchanged. Empty: the base URL with {TOKEN_PATH}.",
    )
    client_id = models.CharField(
        "client ID", max_length=500, blank=True, help_text="The connected app's consumer key."
    )
    client_secret = EncryptedField(help_text="The connected app's consumer secret.")
    username = models.CharField(max_length=200, blank=True)
    password = EncryptedField(
        help_text="The password, with the security token right after it where the org wants one."
    )
    refresh_token = EncryptedField()
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    listeners: RelatedManager[Listener]

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        self.base_url = self.base_url.rstrip("/")
        missing = {
            field: f"{self.get_auth_display()} needs it."
            for field in self.REQUIRED.get(self.auth, ())
            if not getattr(self, field)
        }
        for field in self.SECRETS:
            secret: Secret = getattr(self, field)
            if secret.reference in ("env:", "file:"):
                missing[field] = "Name the variable or the file: env:NAME or file:PATH."
        if missing:
            raise ValidationError(missing)

    @property
    def login_url(self) -> str:
        """The address that this kind of login posts to."""
        own = self.refresh_url if self.auth == self.Auth.REFRESH_TOKEN else self.token_url
        return own or self.base_url.rstrip("/") + TOKEN_PATH


class Listener(models.Model):
    """A channel of an org, heard by one process at a time."""

    class Transport(models.TextChoices):
        COMETD = "cometd", "Streaming API (CometD)"

    class ReplayLost(models.TextChoices):
        EARLIEST = "earliest", "Go on with the earliest event that Salesforce still has"
        TIP = "tip", "Go on with new events only"
        STOP = "stop", "Stop and wait for an operator"

    name = models.CharField(
        max_length=100, unique=True, default="salesforceListener", validators=[_name]
    )
    connection = models.ForeignKey(Connection, models.PROTECT, related_name="listeners")
    channel = models.CharField(
        max_length=255,
        default="/data/ChangeEvents",
        help_text="/data/ChangeEvents for every selected entity, /data/AccountChangeEvent for one, "
        "/data/Name__chn for a custom channel. Upper and lower case matter.",
    )
    transport = models.CharField(max_length=20, choices=Transport, default=Transport.COMETD)
    replay_from = models.CharField(
        max_length=100,
        default="tip",
        help_text="Where to begin the first time: tip (new events only), earliest (all that "
        "Salesforce retains, 72 hours), or a replay id. After that the stored position counts.",
    )
    on_replay_lost = models.CharField(
        max_length=20,
        choices=ReplayLost,
        default=ReplayLost.EARLIEST,
        help_text="What to do when Salesforce refuses the stored position. "
        "An incident is opened in any case.",
    )
    enabled = models.BooleanField(default=True)
    api_version = models.CharField(
        "API version",
        max_length=10,
        default="67.0",
        validators=[RegexValidator(r"^\d{2}\.0$", "Write it like 67.0.")],
    )
    connection_timeout = models.FloatField(
        default=30,
        validators=[MinValueValidator(0.1)],
        help_text="Seconds to wait for a connection to Salesforce.",
    )
    read_timeout = models.FloatField(
        default=30,
        validators=[MinValueValidator(0.1)],
        help_text="Seconds to wait for an answer, on top of the time a long poll is held.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        errors: dict[str, Any] = {}
        try:
            self.channel = validate_channel(self.channel)
        except ValueError as error:
            errors["channel"] = str(error)
        if self.replay_from not in ("tip", "earliest") and not self.replay_from.isdecimal():
            errors["replay_from"] = "Use tip, earliest, or a replay id (a whole number)."
        if self.api_version.removesuffix(".0").isdecimal() and float(self.api_version) < 37:
            errors["api_version"] = "The Streaming API serves changes from version 37.0 on."
        if errors:
            raise ValidationError(errors)

    @property
    def first_replay(self) -> str:
        """The replay id to subscribe with when nothing was received yet."""
        return {"tip": "-1", "earliest": "-2"}.get(self.replay_from, self.replay_from)

    @property
    def fingerprint(self) -> str:
        """Changes whenever an operator changes the listener or its connection."""
        parts = (
            self.pk,
            self.enabled,
            self.updated_at.isoformat(),
            self.connection_id,
            self.connection.updated_at.isoformat(),
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()


class Position(models.Model):
    """Where a listener stands, and which process runs it: the lease, with its epoch.

    The epoch grows with every change of holder; each ingest transaction checks it, so that a
    holder that was paused or cut off cannot write any more.
    """

    class State(models.TextChoices):
        CONNECTING = "connecting", "Connecting"
        RECEIVING = "receiving", "Receiving"
        STOPPED = "stopped", "Stopped"
        FAILED = "failed", "Failed"

    listener = models.OneToOneField(
        Listener, models.CASCADE, related_name="position", primary_key=True
    )
    replay_id = models.CharField(
        max_length=255, blank=True, help_text="The last event that is recorded; opaque."
    )
    # Subscribed at tip, and nothing received since: what was committed after this is still due.
    tip_since = models.DateTimeField(null=True, blank=True)
    holder = models.CharField(max_length=200, blank=True)
    epoch = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    state = models.CharField(max_length=20, choices=State, default=State.STOPPED)
    reason = models.TextField(blank=True)
    state_since = models.DateTimeField(null=True, blank=True)
    failed_fingerprint = models.CharField(max_length=64, blank=True)
    last_received_at = models.DateTimeField(
        null=True, blank=True, help_text="When Salesforce last answered, with events or without."
    )
    last_event_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When the last recorded change was committed in Salesforce.",
    )

    objects = PositionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(epoch__gte=0), name="position_epoch_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.listener} at {self.replay_id or 'no event yet'}"
