"""How browsers reach the console: over TLS, directly or behind proxies, or in the plain."""

from __future__ import annotations

from typing import Any

from environs import Env

from cdcproject.conf.environment import at_least

_MONTH = 30 * 86_400


def https(env: Env, *, local: bool) -> dict[str, Any]:
    """Django's settings, of CDC_HTTPS, CDC_TRUSTED_PROXIES and Django's own names.

    A header that says what a proxy was asked for anybody can send: it is believed where proxies
    are named alone.
    """
    is_on = env.bool("CDC_HTTPS", not local)
    proxies = at_least("CDC_TRUSTED_PROXIES", env.int("CDC_TRUSTED_PROXIES", 0), 0)
    hsts = env.int("SECURE_HSTS_SECONDS", _MONTH if is_on else 0)
    return {
        "CDC_HTTPS": is_on,
        "CDC_TRUSTED_PROXIES": proxies,
        "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https") if proxies else None,
        "SECURE_SSL_REDIRECT": env.bool("SECURE_SSL_REDIRECT", is_on),
        "SECURE_HSTS_SECONDS": at_least("SECURE_HSTS_SECONDS", hsts, 0),
        "SECURE_HSTS_INCLUDE_SUBDOMAINS": env.bool("SECURE_HSTS_INCLUDE_SUBDOMAINS", False),
        "SECURE_HSTS_PRELOAD": env.bool("SECURE_HSTS_PRELOAD", False),
        "SESSION_COOKIE_SECURE": is_on,
        "CSRF_COOKIE_SECURE": is_on,
    }
