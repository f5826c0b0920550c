"""What may be stored: addresses, and JSON that every database takes; and only what differs.

For the models' fields, so that the admin, the file and the API refuse the same.
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
    """An http(s) address; what is in it is shown, and secrets are posted to it."""
    if not is_web_url(url) or not url.isascii() or not is_host(urlsplit(url).hostname or ""):
        raise ValidationError(
            "Give an address such as https://example.my.salesforce.com, without a user name."
        )
    if "?" in url or "#" in url:
        raise ValidationError("Give the address without a query (?) or a fragment (#).")


def origin(url: str) -> None:
    """An address without a path: paths are added to it."""
    address(url)
    if urlsplit(url).path.strip("/"):
        raise ValidationError("Give scheme and host alone, without a path.")


def endpoint(text: str) -> None:
    """Of a gRPC service: host and port, with http:// before them for plain text."""
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
    "Give host and port, such as api.pubsub.salesforce.com:7443 or [2001:db8::1]:7443; with "
    "http:// before them for plain text."
)


def is_host(text: str) -> bool:
    """A host's name or address; one of IPv6 with or without brackets."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return bare == text and _HOST.match(text) is not None
    return True


def storable(value: Any) -> None:
    """JSON that a database keeps as it is."""
    if not _is_storable(value, _DEEPEST):
        raise ValidationError(
            "It holds what no database keeps: a null character, half a surrogate pair, a number "
            "that is not finite, or too many levels."
        )


def is_same(old: Any, new: Any) -> bool:
    """Whether a setting has stayed as it was."""
    if isinstance(old, Secret) and isinstance(new, Secret):
        return old.same_as(new)
    if isinstance(old, dict):  # in Python 1 equals true
        return json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)
    return bool(old == new)


def save_fields(row: Model, names: Iterable[str]) -> None:
    """Only what changed: what others write meanwhile, such as a rotated token, stays."""
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
