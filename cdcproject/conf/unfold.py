"""The console's name, look and navigation."""

from typing import Any

from django.templatetags.static import static

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Salesforce CDC",
    "SITE_HEADER": "Salesforce CDC",
    "SITE_SUBHEADER": "Change Data Capture",
    "SITE_SYMBOL": "sync_alt",
    "SITE_URL": None,  # there is no other site to return to
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda _: static("console/icon.svg")}
    ],
    "STYLES": [lambda _: static("console/reach.css")],
    "SCRIPTS": [lambda _: static("console/reach.js")],
    "LOGIN": {"form": "cdcproject.web.login_throttle.ThrottledForm"},
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SIDEBAR": {"navigation": "console.navigation.sidebar"},
    "DASHBOARD_CALLBACK": "console.home.page.dashboard",
}
