"""Security headers of responses.

Pages may use scripts and styles of this server only. Other sites may not embed or read them, or
receive their forms.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    # Pages have inline styles for the theme and for widths of columns and bars.
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
#: Alpine, which the console's menus use, evaluates the text of attributes. Inline scripts stay
#: forbidden, so that user input is never executed.
_OF_THE_CONSOLE = _POLICY | {"script-src": "'self' 'unsafe-eval'"}

_OTHERS = {
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), "
    "payment=(), usb=()",
}


class BrowserPolicies:
    """Middleware that adds the headers, except those that a response has set itself."""

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
