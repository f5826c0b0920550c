"""The fields of a connection. The rules of its settings and the connection itself build on them."""

from __future__ import annotations

from django.core.validators import (
    MaxValueValidator,
    MinValueValidator,
    RegexValidator,
)
from django.db import models

from listeners.secrets.encrypted_field import EncryptedField
from listeners.values import address, origin, storable

name_validator = RegexValidator(
    r"^[A-Za-z][A-Za-z0-9_.-]*$",
    "Use letters, digits, dots, hyphens and underscores, and begin with a letter.",
)
_YEAR = 366 * 86_400
TOKEN_PATH = "/services/oauth2/token"
PRODUCTION, SANDBOX = "https://login.salesforce.com", "https://test.salesforce.com"


class ConnectionFields(models.Model):
    """What is stored of a connection."""

    class Auth(models.TextChoices):
        SOAP = "soap", "SOAP login"
        BEARER_TOKEN = "bearer_token", "Bearer token"
        PASSWORD = "password", "OAuth 2.0 username and password"
        REFRESH_TOKEN = "refresh_token", "OAuth 2.0 refresh token"
        CLIENT_CREDENTIALS = "client_credentials", "OAuth 2.0 client credentials"
        JWT_BEARER = "jwt_bearer", "OAuth 2.0 JWT bearer"

    class CredentialBearer(models.TextChoices):
        POST_BODY = "post_body", "In the body of the request"
        AUTH_HEADER = "auth_header", "In an HTTP Basic header"

    class TokenStore(models.TextChoices):
        DATABASE = "database", "The database"
        REDIS = "redis", "Redis"
        MEMORY = "memory", "The memory of each process"

    class ProxyScheme(models.TextChoices):
        HTTP = "http", "HTTP"
        HTTPS = "https", "HTTPS"

    #: Write-only, everywhere.
    SECRETS = (
        "client_secret",
        "password",
        "token",
        "refresh_token",
        "private_key",
        "proxy_password",
    )

    name = models.CharField(max_length=100, unique=True, validators=[name_validator])
    auth = models.CharField("authentication", max_length=30, choices=Auth, default=Auth.SOAP)
    base_url = models.CharField(
        "base URL",
        max_length=500,
        blank=True,
        validators=[origin],
        help_text="Your org's own domain, such as https://example.my.salesforce.com.",
    )
    login_url = models.CharField(
        "login URL",
        max_length=500,
        blank=True,
        validators=[origin],
        help_text=f"Where SOAP logs in. Empty: {PRODUCTION}, or {SANDBOX} for a sandbox.",
    )
    is_sandbox = models.BooleanField("sandbox", default=False)
    token_url = models.CharField(
        "token URL",
        max_length=500,
        blank=True,
        validators=[address],
        help_text=f"Where to log in. Empty: the base URL with {TOKEN_PATH}.",
    )
    refresh_url = models.CharField(
        "refresh URL",
        max_length=500,
        blank=True,
        validators=[address],
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
    token = EncryptedField("bearer token", help_text="An access token or session id.")
    refresh_token = EncryptedField(
        help_text="Where Salesforce rotates it, the token store keeps the one that is due."
    )
    private_key = EncryptedField(
        help_text="The private key, in PEM, of the certificate that the connected app holds."
    )
    audience = models.CharField(
        max_length=500,
        blank=True,
        help_text=f"Whom the assertion is for. Empty: {PRODUCTION}, or {SANDBOX} for a sandbox.",
    )
    scopes = models.JSONField(
        validators=[storable],
        default=list,
        blank=True,
        help_text='Asked for at the login, such as ["api"].',
    )
    default_token_exp_time = models.FloatField(
        "default token lifetime",
        default=3600,
        validators=[MinValueValidator(0.1), MaxValueValidator(_YEAR)],
        help_text="Seconds that an access token is taken to live: Salesforce doesn't say.",
    )
    clock_skew = models.FloatField(
        default=0,
        validators=[MinValueValidator(0), MaxValueValidator(_YEAR)],
        help_text="Seconds by which a token is taken to end earlier.",
    )
    optional_params = models.JSONField(
        "optional parameters",
        validators=[storable],
        default=dict,
        blank=True,
        help_text="Further parameters of the token request. A value may be env:NAME or file:PATH.",
    )
    credential_bearer = models.CharField(
        max_length=20,
        choices=CredentialBearer,
        default=CredentialBearer.POST_BODY,
        help_text="Where the client ID and secret travel.",
    )
    client_config = models.JSONField(
        "HTTP client",
        validators=[storable],
        default=dict,
        blank=True,
        help_text="How to reach the login: http_version, custom_headers, custom_payload, "
        "connection_timeout, read_timeout, and for every request tls: {ca_bundle, "
        "client_certificate, client_key, verify}.",
    )
    refresh_config = models.JSONField(
        "refresh",
        validators=[storable],
        null=True,
        blank=True,
        default=None,
        help_text="Use the refresh token of a password login's answer: {} for the login's own "
        "settings, or refresh_url, scopes, optional_params, credential_bearer, client_config. "
        "Empty: log in with the password each time.",
    )
    token_store = models.CharField(
        max_length=20,
        choices=TokenStore,
        default=TokenStore.DATABASE,
        help_text="Where tokens are kept, encrypted, and shared by all processes. In memory, each "
        "process logs in for itself; not for a refresh token that Salesforce rotates.",
    )
    proxy_scheme = models.CharField(
        max_length=10, choices=ProxyScheme, default=ProxyScheme.HTTP, help_text="Spoken to it."
    )
    proxy_host = models.CharField(
        max_length=255, blank=True, help_text="Every request goes through it. Empty: no proxy."
    )
    proxy_port = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(65535)]
    )
    proxy_username = models.CharField(max_length=200, blank=True)
    proxy_password = EncryptedField()
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True
