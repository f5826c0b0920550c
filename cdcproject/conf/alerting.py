"""Settings of incident notifications by mail and webhook, read from the environment."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.utils import getaddresses
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from environs import Env

from cdcproject.conf.environment import names, port, stop

_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")


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


def webhook(env: Env) -> tuple[str, str]:
    """Return the webhook's URL and signing secret; empty: no webhook, no signature."""
    url = web_address(env, "CDC_INCIDENT_WEBHOOK")
    secret = env.str("CDC_INCIDENT_WEBHOOK_SECRET", "")
    if secret and not url:
        stop("CDC_INCIDENT_WEBHOOK_SECRET is set, but CDC_INCIDENT_WEBHOOK is not.")
    return url, secret


def mail(env: Env) -> Mail:
    host = _mail_host(env)
    found = Mail(
        to=_mail_addresses(env, "CDC_INCIDENT_EMAILS"),
        sender=_sender(env),
        host=host or "localhost",
        port=port(env, "EMAIL_PORT") or 25,
        user=env.str("EMAIL_HOST_USER", ""),
        password=env.str("EMAIL_HOST_PASSWORD", ""),
        starttls=env.bool("EMAIL_USE_TLS", False),
        tls=env.bool("EMAIL_USE_SSL", False),
    )
    if found.to and not host:
        stop("CDC_INCIDENT_EMAILS is set, but EMAIL_HOST is not; give the mail server.")
    if found.password and not found.user:
        stop("EMAIL_HOST_PASSWORD is set, but EMAIL_HOST_USER is not; give the user to log in as.")
    if found.starttls and found.tls:
        stop("EMAIL_USE_TLS and EMAIL_USE_SSL exclude each other; set one of them.")
    return found


def _mail_host(env: Env) -> str:
    host: str = env.str("EMAIL_HOST", "")
    if re.search(r"[\s/@]", host) or host.count(":") == 1:  # an IPv6 address has more colons
        stop(
            f"EMAIL_HOST is {host!r}; give only the host, such as mail.example.com; its port is "
            "EMAIL_PORT."
        )
    return host


def _sender(env: Env) -> str:
    """Return DEFAULT_FROM_EMAIL: an address, also of a local host, or `Name <address>`."""
    sender: str = env.str("DEFAULT_FROM_EMAIL", "") or "salesforce-cdc@localhost"
    addresses = [address for _, address in getaddresses([sender])]  # as smtplib reads them
    if len(addresses) != 1 or not _ADDRESS.fullmatch(addresses[0]) or not sender.isprintable():
        stop(
            f"DEFAULT_FROM_EMAIL is {sender!r}; give one address, such as cdc@example.com or "
            "Salesforce CDC <cdc@example.com>."
        )
    return sender


def _mail_addresses(env: Env, name: str) -> list[str]:
    addresses = names(env, name)
    for address in addresses:
        try:
            validate_email(address)
        except ValidationError:
            stop(f"{name}: {address!r} is not an e-mail address.")
    return addresses


def web_address(env: Env, name: str) -> str:
    """Return an HTTP URL. An error message leaves it out: a webhook's URL may be secret."""
    url: str = env.str(name, "")
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
        is_usable = is_usable and (parts.port is None or parts.port > 0)
    except ValueError:
        is_usable = False
    if url and not is_usable:
        stop(f"{name} must be a URL that starts with http:// or https://.")
    return url
