"""The fields of a connection, which its validation rules and its model share."""

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
    """The fields of a connection: its kind of login, its secrets, and its HTTP settings."""

    class Auth(models.TextChoices):
        SOAP = "soap", "SOAP login"
        BEARER_TOKEN = "bearer_token", "Bearer token"
        PASSWORD = "password", "OAuth 2.0 username and password"
        REFRESH_TOKEN = "refresh_token", "OAuth 2.0 refresh token"
        CLIENT_CREDENTIALS = "client_credentials", "OAuth 2.0 client credentials"
        JWT_BEARER = "jwt_bearer", "OAuth 2.0 JWT bearer"

    class CredentialBearer(models.TextChoices):
        POST_BODY = "post_body", "In the request body"
        AUTH_HEADER = "auth_header", "In an HTTP Basic header"

    class TokenStore(models.TextChoices):
        DATABASE = "database", "The database"
        REDIS = "redis", "Redis"
        MEMORY = "memory", "The memory of each process"

    class ProxyScheme(models.TextChoices):
        HTTP = "http", "HTTP"
        HTTPS = "https", "HTTPS"

    #: Fields with secrets: write-only in the console, the API and the configuration file.
    SECRETS = (
        "client_secret",
        "password",
        "token",
        "refresh_token",
        "private_key",
        "proxy_password",
    )

    name = models.CharField(max_length=100, unique=True, validators=[name_validator])
    auth = models.CharField("kind of login", max_length=30, choices=Auth, default=Auth.SOAP)
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
        help_text=f"Address of the SOAP login. Empty: {PRODUCTION}, or {SANDBOX} for a sandbox.",
    )
    is_sandbox = models.BooleanField("sandbox", default=False)
    token_url = models.CharField(
        "token URL",
        max_length=500,
        blank=True,
        validators=[address],
        help_text=f"Address of the token endpoint. Empty: the base URL with {TOKEN_PATH}.",
    )
    refresh_url = models.CharField(
        "refresh URL",
        max_length=500,
        blank=True,
        validators=[address],
        help_text=f"Address that exchanges refresh tokens. Empty: the base URL with {TOKEN_PATH}.",
    )
    client_id = models.CharField(
        "client ID", max_length=500, blank=True, help_text="The connected app's consumer key."
    )
    client_secret = EncryptedField(help_text="The connected app's consumer secret.")
    username = models.CharField(max_length=200, blank=True)
    password = EncryptedField(
        help_text="The password, followed by the security token if the org requires one."
    )
    token = EncryptedField("bearer token", help_text="An access token or session ID.")
    refresh_token = EncryptedField(
        help_text="If Salesforce rotates refresh tokens, the token store keeps the current one."
    )
    private_key = EncryptedField(
        help_text="The PEM private key of the connected app's certificate."
    )
    audience = models.CharField(
        max_length=500,
        blank=True,
        help_text=f"Audience of the assertion. Empty: {PRODUCTION}, or {SANDBOX} for a sandbox.",
    )
    scopes = models.JSONField(
        validators=[storable],
        default=list,
        blank=True,
        help_text='Scopes to request at login, such as ["api"].',
    )
    default_token_exp_time = models.FloatField(
        "default token lifetime",
        default=3600,
        validators=[MinValueValidator(0.1), MaxValueValidator(_YEAR)],
        help_text="Assumed lifetime of an access token in seconds; Salesforce does not send it.",
    )
    clock_skew = models.FloatField(
        default=0,
        validators=[MinValueValidator(0), MaxValueValidator(_YEAR)],
        help_text="Seconds by which a token is treated as expired early.",
    )
    optional_params = models.JSONField(
        "optional parameters",
        validators=[storable],
        default=dict,
        blank=True,
        help_text="Additional token request parameters. Values may be env:NAME or file:PATH.",
    )
    credential_bearer = models.CharField(
        max_length=20,
        choices=CredentialBearer,
        default=CredentialBearer.POST_BODY,
        help_text="How the client ID and secret are sent.",
    )
    client_config = models.JSONField(
        "HTTP client",
        validators=[storable],
        default=dict,
        blank=True,
        help_text="HTTP settings of the login: http_version, custom_headers, custom_payload, "
        "connection_timeout, read_timeout, and for every request tls: {ca_bundle, "
        "client_certificate, client_key, verify}.",
    )
    refresh_config = models.JSONField(
        "refresh",
        validators=[storable],
        null=True,
        blank=True,
        default=None,
        help_text="Use the refresh token that a password login returns: {} for the login's own "
        "settings, or refresh_url, scopes, optional_params, credential_bearer, client_config. "
        "Empty: log in with the password each time.",
    )
    token_store = models.CharField(
        max_length=20,
        choices=TokenStore,
        default=TokenStore.DATABASE,
        help_text="Where tokens are stored, encrypted and shared by all processes. In memory, each "
        "process logs in by itself; do not use memory if Salesforce rotates refresh tokens.",
    )
    proxy_scheme = models.CharField(
        max_length=10,
        choices=ProxyScheme,
        default=ProxyScheme.HTTP,
        help_text="Protocol of the proxy.",
    )
    proxy_host = models.CharField(
        max_length=255, blank=True, help_text="Proxy for every request. Empty: no proxy."
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
