"""Where requests of this installation may go: CDC_OUTBOUND_ALLOWED, for the wire and for fields."""

from __future__ import annotations

import requests
from django.conf import settings

from listeners.salesforce.destinations import Destinations
from listeners.salesforce.http import HttpConfig, session_of


def destinations() -> Destinations:
    allowed: Destinations = settings.CDC_OUTBOUND
    return allowed


def url_flaw(url: str) -> str:
    """Why `url` may not be asked; empty when it may, and for what is no URL: others say so."""
    try:
        return destinations().flaw(url) if url else ""
    except ValueError:
        return ""


def endpoint_flaw(endpoint: str) -> str:
    """The same of a gRPC endpoint, which is host:port or a URL."""
    return url_flaw(endpoint if "://" in endpoint else f"https://{endpoint}")


def session() -> requests.Session:
    """For one request to an address that a user gave. It raises DestinationRefused."""
    return session_of(HttpConfig(destinations=destinations()))
