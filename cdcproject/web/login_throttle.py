"""Throttle password guesses in the console. All web processes share the counts."""

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
from rest_framework.throttling import AnonRateThrottle
from unfold.forms import AdminOwnPasswordChangeForm, AuthenticationForm

#: The factor by which the limit of an address exceeds that of a user: an office shares an address.
_USERS_OF_AN_ADDRESS = 10
#: Reads rates and addresses. Typed as Any, since DRF's types accept only its own requests.
_throttle: Any = AnonRateThrottle()


class Guess:
    """A password check, counted before it happens, so that concurrent guesses count too.

    A right password resets the count of its user and is subtracted from that of its address. The
    count of a user is kept by address, so that no other address can lock the user out.
    """

    def __init__(self, name: str, request: HttpRequest | None, what: str) -> None:
        """Count a guess. Raises ValidationError after too many; its message starts with `what`."""
        most, seconds = _throttle.parse_rate(settings.CDC_SIGN_IN_RATE)
        address = address_of(request)
        self._of_user, self._of_address = _key("user", name, address), _key("address", address)
        if _counted(self._of_user, seconds) > most or (
            _counted(self._of_address, seconds) > most * _USERS_OF_AN_ADDRESS
        ):
            raise ValidationError(
                f"{what}. Wait up to {_in_minutes(seconds)}, or ask an administrator to set a new "
                "password.",
                code="throttled",
            )

    def was_right(self) -> None:
        cache.delete(self._of_user)
        with suppress(ValueError):  # the count has just expired
            cache.decr(self._of_address)


class ThrottledForm(AuthenticationForm):
    def clean(self) -> Any:
        name = self.cleaned_data.get("username")
        if not name:
            return super().clean()
        guess = Guess(name, self.request, "Too many logins failed")
        cleaned = super().clean()
        guess.was_right()
        return cleaned


class ThrottledPasswordChangeForm(AdminOwnPasswordChangeForm):
    """The form to change one's password, whose old password is throttled like a login."""

    def __init__(self, user: Any, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self._request = request

    def clean_old_password(self) -> str:
        guess = Guess(self.user.get_username(), self._request, "Too many wrong passwords")
        old_password: str = super().clean_old_password()
        guess.was_right()
        return old_password


class PasswordChange(PasswordChangeView):
    """The console's page to change one's password."""

    form_class = ThrottledPasswordChangeForm
    success_url = reverse_lazy("admin:password_change_done")

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "request": self.request}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | admin.site.each_context(self.request)


def address_of(request: HttpRequest | None) -> str:
    """Return the client's address as the API's throttles see it, from the trusted proxies'
    header if CDC_TRUSTED_PROXIES is set.

    An IPv6 address is reduced to its /64 network, which one client controls as a whole.
    """
    found = request and (_throttle.get_ident(request) or request.META.get("REMOTE_ADDR"))
    address = str(found or "")
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
    except ValueError:  # the count has just expired
        return 1


def _key(*parts: Any) -> str:
    digest = hashlib.sha256("\0".join(map(str, parts)).encode(errors="replace")).hexdigest()
    return f"sign-in:{digest}"


def _in_minutes(seconds: int) -> str:
    minutes = -(-seconds // 60)
    return "a minute" if minutes == 1 else f"{minutes} minutes"
