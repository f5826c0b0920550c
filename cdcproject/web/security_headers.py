"""Headers that tell browsers what a page may do: scripts and styles of this server alone, and no
other site may show it, read it or be sent its forms."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    # The console's theme, and how wide a column or a bar is, stand in the pages themselves.
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
#: Alpine, which moves the console's menus, makes functions of its attributes' texts. No page has a
#: script of its own within it: what somebody has written stays text.
_OF_THE_CONSOLE = _POLICY | {"script-src": "'self' 'unsafe-eval'"}

_OTHERS = {
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), "
    "payment=(), usb=()",
}


class BrowserPolicies:
    """Middleware. What an answer says for itself stays."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answer = self._get_response(request)
        is_console = request.path.startswith(reverse("admin:index"))
        policy = _OF_THE_CONSOLE if is_console else _POLICY
        answer.headers.setdefault("Content-Security-Policy", _written(policy))
        for name, value in _OTHERS.items():
            answer.headers.setdefault(name, value)
        return answer


def _written(policy: dict[str, str]) -> str:
    return "; ".join(f"{name} {sources}" for name, sources in policy.items())
