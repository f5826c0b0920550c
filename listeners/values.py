"""Validators of model fields: URLs, endpoints, and JSON that every database can store.

The console, the configuration file and the API share them, and so refuse the same values.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.db.models import Model

from listeners.salesforce.http.addresses import is_web_url
from listeners.secrets.encrypted_field import Secret

_HOST = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?"
    r"(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?\Z",
    re.ASCII,
)
_DEEPEST = 50
_LARGEST = 10**300


def address(url: str) -> None:
    """Validate an http(s) URL that is shown in the console and that secrets are sent to."""
    if not is_web_url(url) or not url.isascii() or not is_host(urlsplit(url).hostname or ""):
        raise ValidationError(
            "Enter a URL such as https://example.my.salesforce.com, without a user name."
        )
    if "?" in url or "#" in url:
        raise ValidationError("Enter the URL without a query (?) or a fragment (#).")


def origin(url: str) -> None:
    """Validate a URL that must have no path, because paths are appended to it."""
    address(url)
    if urlsplit(url).path.strip("/"):
        raise ValidationError("Enter only the scheme and host, without a path.")


def endpoint(text: str) -> None:
    """Validate the endpoint of a gRPC service: host:port, or http://host:port for plain text."""
    with_scheme = text if "://" in text else f"https://{text}"
    try:
        address(with_scheme)
        parts = urlsplit(with_scheme)
        port = parts.port
    except (ValidationError, ValueError):
        raise ValidationError(_ENDPOINT) from None
    is_bare = f"{parts.scheme}://{parts.netloc}" == with_scheme
    if port is None or not is_bare or (":" in str(parts.hostname) and "[" not in text):
        raise ValidationError(_ENDPOINT)


_ENDPOINT = (
    "Enter host and port, such as api.pubsub.salesforce.com:7443 or [2001:db8::1]:7443, with "
    "http:// in front for plain text."
)


def is_host(text: str) -> bool:
    """Return whether the text is a host name or an IP address (IPv6 with or without brackets)."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return bare == text and _HOST.match(text) is not None
    return True


def storable(value: Any) -> None:
    """Validate that every database can store the JSON value unchanged."""
    if not _is_storable(value, _DEEPEST):
        raise ValidationError(
            "The value contains something that the database cannot store: a null character, half "
            "a surrogate pair, a number that is not finite or too large, or too many nested levels."
        )


def is_same(old: Any, new: Any) -> bool:
    """Return whether two values of a setting are the same."""
    if isinstance(old, Secret) and isinstance(new, Secret):
        return old.same_as(new)
    if isinstance(old, dict):  # compared as JSON, because 1 == True in Python
        return json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)
    return bool(old == new)


def save_fields(row: Model, names: Iterable[str]) -> None:
    """Save only the named fields, so that concurrent writes, such as a rotated token, are kept."""
    stamps = [field.name for field in row._meta.fields if getattr(field, "auto_now", False)]
    row.save(update_fields=[*names, *stamps])


def is_storable_text(text: str) -> bool:
    return not any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text)


def _is_storable(value: Any, levels: int) -> bool:
    match value:
        case dict():
            inner = [*value.keys(), *value.values()]
            return levels > 0 and all(_is_storable(item, levels - 1) for item in inner)
        case list():
            return levels > 0 and all(_is_storable(item, levels - 1) for item in value)
        case str():
            return is_storable_text(value)
        case int() | float():
            return abs(value) < _LARGEST  # NaN is below nothing
        case _:
            return True
