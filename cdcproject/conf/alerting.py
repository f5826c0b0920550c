"""Settings of incident notifications by mail and webhook, read from the environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from environs import Env


class NoticeError(ValueError):
    """A variable has a wrong value. The message is one line that names the variable."""


@dataclass(frozen=True)
class Webhook:
    """The webhook's URL and signing secret; empty: no webhook, no signature."""

    url: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Mail:
    """The recipients of notifications, and the mail server.

    `starttls` upgrades the connection to TLS; `tls` uses TLS from its start.
    """

    to: list[str]
    sender: str
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    starttls: bool
    tls: bool


def webhook(env: Env) -> Webhook:
    """Return the webhook. Raises NoticeError."""
    url, secret = (
        web_address(env, "CDC_INCIDENT_WEBHOOK"),
        env.str("CDC_INCIDENT_WEBHOOK_SECRET", ""),
    )
    if secret and not url:
        raise NoticeError("CDC_INCIDENT_WEBHOOK_SECRET is set, but CDC_INCIDENT_WEBHOOK is not.")
    return Webhook(url, secret)


def mail(env: Env) -> Mail:
    """Return the mail settings. Raises NoticeError."""
    host = env.str("EMAIL_HOST", "")
    found = Mail(
        to=_addresses("CDC_INCIDENT_EMAILS", env.str("CDC_INCIDENT_EMAILS", "")),
        sender=env.str("DEFAULT_FROM_EMAIL", "") or "salesforce-cdc@localhost",
        host=host or "localhost",
        port=_port(env),
        user=env.str("EMAIL_HOST_USER", ""),
        password=env.str("EMAIL_HOST_PASSWORD", ""),
        starttls=env.bool("EMAIL_USE_TLS", False),
        tls=env.bool("EMAIL_USE_SSL", False),
    )
    if found.to and not host:
        raise NoticeError(
            "CDC_INCIDENT_EMAILS is set, but EMAIL_HOST is not; give the mail server."
        )
    if found.starttls and found.tls:
        raise NoticeError("EMAIL_USE_TLS and EMAIL_USE_SSL exclude each other; set one of them.")
    return found


def _addresses(name: str, text: str) -> list[str]:
    addresses = [part.strip() for part in text.split(",") if part.strip()]
    for address in addresses:
        try:
            validate_email(address)
        except ValidationError:
            raise NoticeError(f"{name}: {address!r} is not an e-mail address.") from None
    return addresses


def web_address(env: Env, name: str) -> str:
    """Return an HTTP URL. Raises NoticeError, without the value: a webhook's URL may be secret."""
    url: str = env.str(name, "")
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
        is_usable = is_usable and (parts.port is None or parts.port > 0)
    except ValueError:
        is_usable = False
    if url and not is_usable:
        raise NoticeError(f"{name} must be a URL that starts with http:// or https://.")
    return url


def _port(env: Env) -> int:
    port: int = env.int("EMAIL_PORT", 25)
    if not 1 <= port <= 65_535:
        raise NoticeError(f"EMAIL_PORT is {port}; give a number from 1 to 65535.")
    return port
