"""Where requests of this installation may go: CDC_OUTBOUND_ALLOWED, for the wire and for fields."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests
from django.conf import settings
from urllib3.exceptions import HTTPError

from listeners.salesforce.http.allowlist import Destinations
from listeners.salesforce.http.egress_guard import Route
from listeners.salesforce.http.interrupt import InterruptibleAdapter
from listeners.salesforce.http.session import HttpConfig, session_of


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


@dataclass(frozen=True, slots=True)
class Posted:
    """What the head of an answer says."""

    status: int
    reason: str
    retry_after: str


class NotAnswered(RuntimeError):
    """A host did not answer a post. The message names the host, and neither path nor secret."""


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    seconds: float,
    within: Destinations | None = None,
) -> Posted:
    """POST to an address that a user gave, and read the head of the answer alone.

    The whole request may take `seconds`. No redirect is followed. `within`: where it may go, in
    place of CDC_OUTBOUND_ALLOWED. Raises NotAnswered and DestinationRefused.
    """
    to = within or destinations()
    adapter = InterruptibleAdapter(route=Route(to))
    is_late = threading.Event()

    def give_up() -> None:
        is_late.set()
        adapter.interrupt()

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    try:
        with session_of(HttpConfig(destinations=to)) as http:
            http.mount("http://", adapter)
            http.mount("https://", adapter)
            timer.start()
            with http.post(
                url,
                data=body,
                headers=headers,
                timeout=seconds,
                allow_redirects=False,
                stream=True,
            ) as answer:
                retry_after = answer.headers.get("Retry-After", "")
                posted = Posted(answer.status_code, answer.reason or "", retry_after)
            if not is_late.is_set():  # else the head may have been cut off in the middle
                return posted
            why = f" within {seconds:g} s"
    except (requests.RequestException, HTTPError, ValueError) as error:
        # The library's message quotes the whole URL, which may hold a token.
        is_timeout = is_late.is_set() or isinstance(error, requests.Timeout)
        why = f" within {seconds:g} s" if is_timeout else f": {type(error).__name__}"
    finally:
        timer.cancel()
    raise NotAnswered(f"{urlsplit(url).hostname} did not answer{why}")
