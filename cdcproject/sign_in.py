"""The console's login: whoever guesses passwords is stopped, over all web processes."""

from __future__ import annotations

import hashlib
import ipaddress
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from unfold.forms import AuthenticationForm

#: One address may fail so many times as often as one user from it: an office shares an address.
_USERS_OF_AN_ADDRESS = 10


class ThrottledForm(AuthenticationForm):
    """Counts an attempt before the password is looked at, so that many at once count too; one that
    succeeds takes back what was counted of its user, and itself of its address. Other addresses are
    not locked out: nobody keeps a user out by failing for him."""

    def clean(self) -> Any:
        most, seconds = settings.CDC_SIGN_IN_RATE
        name, address = self.cleaned_data.get("username"), address_of(self.request)
        of_user, of_address = _key("user", name, address), _key("address", address)
        if not name:
            return super().clean()
        if _counted(of_user, seconds) > most or (
            _counted(of_address, seconds) > most * _USERS_OF_AN_ADDRESS
        ):
            raise ValidationError(
                f"Too many logins failed. Wait for up to {_spoken(seconds)}, or ask an "
                "administrator to set a new password.",
                code="throttled",
            )
        cleaned = super().clean()
        cache.delete(of_user)
        with suppress(ValueError):  # it ended in between
            cache.decr(of_address)
        return cleaned


def address_of(request: HttpRequest | None) -> str:
    """Whom the connection, or the outermost proxy that is trusted, is from.

    Of IPv6 the network, /64: whoever has one address there has all of them.
    """
    if request is None:
        return ""
    proxies: int = settings.CDC_TRUSTED_PROXIES
    named = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",")]
    told = named[-min(proxies, len(named))] if proxies else ""
    return _counted_as(told or str(request.META.get("REMOTE_ADDR", "")))


def _counted_as(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    return str(parsed.ipv4_mapped or ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))


def _counted(key: str, seconds: int) -> int:
    cache.add(key, 0, seconds)
    try:
        return int(cache.incr(key))
    except ValueError:  # it ended in between
        return 1


def _key(*parts: Any) -> str:
    digest = hashlib.sha256("\0".join(map(str, parts)).encode(errors="replace")).hexdigest()
    return f"sign-in:{digest}"


def _spoken(seconds: int) -> str:
    minutes = -(-seconds // 60)
    return "a minute" if minutes == 1 else f"{minutes} minutes"
