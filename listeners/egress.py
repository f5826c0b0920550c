"""Enforces CDC_OUTBOUND_ALLOWED, the hosts that this installation may send requests to."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.conf import settings

from listeners.salesforce.http.allowlist import Destinations
from listeners.threads import OVER, BackgroundThread, Step

if TYPE_CHECKING:
    import requests


def destinations() -> Destinations:
    allowed: Destinations = settings.CDC_OUTBOUND
    return allowed


def url_flaw(url: str) -> str:
    """Return why no request may go to `url`; empty when it may, and for text that is not a URL."""
    try:
        return destinations().flaw(url) if url else ""
    except ValueError:
        return ""


def endpoint_flaw(endpoint: str) -> str:
    """Return why no request may go to a gRPC endpoint (host:port or a URL); empty when it may."""
    return url_flaw(endpoint if "://" in endpoint else f"https://{endpoint}")


class NotAnswered(RuntimeError):
    """A host did not answer a POST. The message names the host, but no path or secret."""


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    seconds: float,
    within: Destinations | None = None,
) -> requests.Response:
    """POST to a URL that a user entered, and return the answer, of which only the head is read.

    The whole request may take `seconds`. Redirects are not followed. `within`: the allowed
    destinations, instead of CDC_OUTBOUND_ALLOWED. Raises NotAnswered and DestinationRefused.
    """
    # The models need this module, and most processes send nothing.
    import requests
    from urllib3.exceptions import HTTPError

    from listeners.salesforce.http.egress_guard import Route
    from listeners.salesforce.http.interrupt import InterruptibleAdapter
    from listeners.salesforce.http.session import HttpConfig, session_of

    to = within or destinations()
    adapter = InterruptibleAdapter(route=Route(to))
    is_late = threading.Event()

    def give_up() -> object:
        is_late.set()
        adapter.interrupt()
        return OVER

    step = Step("request timeout", give_up, consequence="A request takes longer than it may.")
    timer = BackgroundThread(step, every=seconds)
    try:
        with session_of(HttpConfig(destinations=to)) as http:
            http.mount("http://", adapter)
            http.mount("https://", adapter)
            timer.start()
            answer = http.post(
                url,
                data=body,
                headers=headers,
                timeout=seconds,
                allow_redirects=False,
                stream=True,
            )
            answer.close()
            if not is_late.is_set():  # otherwise the head may be incomplete
                return answer
            why = f" within {seconds:g} s"
    except (requests.RequestException, HTTPError, ValueError) as error:
        # The library's message quotes the whole URL, which may hold a token.
        is_timeout = is_late.is_set() or isinstance(error, requests.Timeout)
        why = f" within {seconds:g} s" if is_timeout else f": {type(error).__name__}"
    finally:
        timer.stop()
    raise NotAnswered(f"{urlsplit(url).hostname} did not answer{why}")
