"""Settings of TLS for the console: directly, behind proxies, or off."""

from __future__ import annotations

from typing import Any

from environs import Env

from cdcproject.conf.environment import at_least

_MONTH = 30 * 86_400


def https(env: Env, *, local: bool) -> dict[str, Any]:
    """Return Django's settings for CDC_HTTPS, CDC_TRUSTED_PROXIES and Django's own variables.

    The X-Forwarded-Proto header is trusted only behind trusted proxies: any client can send it.
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
