"""Cookies kept and sent back exactly as they stood on the wire.

``http.cookiejar`` strips the quotes of a value, and servers that compare ``BAYEUX_BROWSER`` as
text then forget the session. This keeper serves one host, so it heeds neither Domain nor Path.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy


class RawCookies:
    """The cookies of one session with one host."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def clear(self) -> None:
        self._values = {}

    def store(self, set_cookies: Iterable[str]) -> None:
        """Take up ``Set-Cookie`` header values; an expired one removes its cookie."""
        values = dict(self._values)
        for header in set_cookies:
            pair, *attributes = header.split(";")
            name, separator, value = pair.partition("=")
            if not separator or not name.strip():
                continue
            if _is_expired(attributes):
                values.pop(name.strip(), None)
            else:
                values[name.strip()] = value.strip()
        self._values = values  # replaced whole: ``header`` is read by closing threads

    def header(self) -> dict[str, str]:
        """The request header to send: ``{"Cookie": "a=b; c=d"}``, or nothing."""
        pairs = [f"{name}={value}" for name, value in self._values.items()]
        return {"Cookie": "; ".join(pairs)} if pairs else {}


def no_cookies() -> DefaultCookiePolicy:
    """A policy that keeps a ``requests`` session's own jar empty."""
    return DefaultCookiePolicy(allowed_domains=[])


def _is_expired(attributes: list[str]) -> bool:
    found = {
        name.strip().lower(): value.strip()
        for name, _, value in (attribute.partition("=") for attribute in attributes)
    }
    if "max-age" in found:  # it outranks Expires
        return found["max-age"].startswith("-") or found["max-age"].strip("0") == ""
    try:
        return parsedate_to_datetime(found.get("expires", "")).timestamp() <= time.time()
    except (ValueError, OverflowError):
        return False
