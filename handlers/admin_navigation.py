"""The console's side bar: listen, record, users; each only with what its reader may see."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.urls import reverse

from audit.models import Incident

#: The user model's app and name.
USER = tuple(settings.AUTH_USER_MODEL.lower().split("."))

#: Group, and its pages: title, symbol, app and model; and which page, if not the list.
GROUPS = (
    (
        "Listen",
        (
            ("Listeners", "hearing", "listeners", "listener"),
            ("Event handlers", "alt_route", "handlers", "handlermapping"),
            ("Connections", "cloud", "listeners", "connection"),
        ),
    ),
    (
        "Record",
        (
            ("Audit log", "history", "audit", "auditlogentry"),
            ("Deliveries", "outbox", "handlers", "delivery"),
            ("Dead letters", "feedback", "handlers", "delivery", "dead_letters"),
            ("Incidents", "warning", "audit", "incident"),
            ("Quarantined", "block", "audit", "quarantined"),
            ("Work", "pending_actions", "audit", "work", "overview"),
            ("Workers", "memory", "handlers", "worker"),
        ),
    ),
    (
        "Users",
        (
            ("Users", "person", *USER),
            ("Groups", "group", "auth", "group"),
            ("API tokens", "key", "api", "apitoken"),
            ("Action log", "checklist", "audit", "operatoraction"),
        ),
    ),
)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    home = {"title": "Home", "icon": "home", "link": reverse("admin:index")}
    groups: list[dict[str, Any]] = [{"items": [home]}]
    for title, pages in GROUPS:
        items = [_item(*page) for page in pages if _is_shown(request, *page[2:4])]
        if items:
            groups.append({"title": title, "separator": True, "items": items})
    _mark(groups, request.path)
    return groups


def _is_shown(request: HttpRequest, app: str, model: str) -> bool:
    """A user model of the site may have no page."""
    if (app, model) == USER and not admin.site.is_registered(get_user_model()):
        return False
    return may_see(request, app, model)


def _mark(groups: list[dict[str, Any]], path: str) -> None:
    """The page that the reader is on, or that is nearest above it; Home is above all of them."""
    pages = [item for group in groups for item in group["items"]]
    above = [one["link"] for one in pages[1:] if path.startswith(one["link"])]
    here = max(above, key=len, default=path)
    for one in pages:
        one["active"] = one["link"] == here


def may_see(request: HttpRequest, app: str, model: str) -> bool:
    return any(request.user.has_perm(f"{app}.{verb}_{model}") for verb in ("view", "change"))


def _item(
    title: str, symbol: str, app: str, model: str, page: str = "changelist"
) -> dict[str, Any]:
    link = reverse(f"admin:{app}_{model}_{page}")
    item: dict[str, Any] = {"title": title, "icon": symbol, "link": link}
    if model == "incident" and (count := Incident.objects.filter(closed_at=None).count()):
        item |= {"badge": str(count), "badge_variant": "danger"}
    return item
