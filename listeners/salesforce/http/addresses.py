"""Checks of URLs, and the part of a URL that messages may show."""

from __future__ import annotations

from urllib.parse import urlsplit


def is_web_url(url: str) -> bool:
    """Return whether ``url`` is http(s), with a host and without user name or password."""
    try:
        parts = urlsplit(url)
        usable_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return (
        parts.scheme in {"http", "https"}
        and bool(parts.hostname)
        and parts.username is None
        and parts.password is None
        and usable_port
    )


def host_of(url: str) -> str:
    """Return the host and port of ``url``, the only parts that messages may show."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(an unusable URL)"
    return f"{parts.hostname}{port}" if parts.hostname else "(an unusable URL)"
