"""Throttle password guesses in the console; all web processes count together."""

from __future__ import annotations

import hashlib
import ipaddress
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.views import PasswordChangeView
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import reverse_lazy
from unfold.forms import AdminOwnPasswordChangeForm, AuthenticationForm

#: One address may fail so many times as often as one user from it: an office shares an address.
_USERS_OF_AN_ADDRESS = 10


class Guess:
    """A password that is about to be looked at, counted before it is, so that many at once count
    too. One that is right takes back what was counted of its user, and itself of its address.
    Other addresses are not locked out: nobody keeps a user out by failing for him."""

    def __init__(self, name: str, request: HttpRequest | None, what: str) -> None:
        """Raises ValidationError where there were too many; `what` names them."""
        most, seconds = settings.CDC_SIGN_IN_RATE
        address = address_of(request)
        self._of_user, self._of_address = _key("user", name, address), _key("address", address)
        if _counted(self._of_user, seconds) > most or (
            _counted(self._of_address, seconds) > most * _USERS_OF_AN_ADDRESS
        ):
            raise ValidationError(
                f"{what}. Wait for up to {_spoken(seconds)}, or ask an administrator to set a new "
                "password.",
                code="throttled",
            )

    def was_right(self) -> None:
        cache.delete(self._of_user)
        with suppress(ValueError):  # it ended in between
            cache.decr(self._of_address)


class ThrottledForm(AuthenticationForm):
    """The login."""

    def clean(self) -> Any:
        name = self.cleaned_data.get("username")
        if not name:
            return super().clean()
        guess = Guess(name, self.request, "Too many logins failed")
        cleaned = super().clean()
        guess.was_right()
        return cleaned


class ThrottledPasswordChangeForm(AdminOwnPasswordChangeForm):
    """Somebody at a browser that a user left signed in guesses the old password no faster than at
    the login."""

    def __init__(self, user: Any, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self._request = request

    def clean_old_password(self) -> str:
        guess = Guess(self.user.get_username(), self._request, "Too many wrong passwords")
        old_password: str = super().clean_old_password()
        guess.was_right()
        return old_password


class PasswordChange(PasswordChangeView):
    """The page of the console, as its site makes it."""

    form_class = ThrottledPasswordChangeForm
    success_url = reverse_lazy("admin:password_change_done")

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "request": self.request}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | admin.site.each_context(self.request)


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
