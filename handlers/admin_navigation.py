"""The console's side bar: listen, record, users; each only with what its reader may see."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from audit.models import Incident

#: Group, and its pages: title, symbol, app and model.
GROUPS = (
    (
        "Listen",
        (
            ("Listeners", "hearing", "listeners", "listener"),
            ("Connections", "cloud", "listeners", "connection"),
        ),
    ),
    (
        "Record",
        (
            ("Audit log", "history", "audit", "auditlogentry"),
            ("Deliveries", "outbox", "handlers", "delivery"),
            ("Incidents", "warning", "audit", "incident"),
            ("Quarantined", "block", "audit", "quarantined"),
            ("Workers", "memory", "handlers", "worker"),
        ),
    ),
    (
        "Users",
        (
            ("Users", "person", "auth", "user"),
            ("Groups", "group", "auth", "group"),
            ("Action log", "checklist", "audit", "operatoraction"),
        ),
    ),
)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    home = {"title": "Home", "icon": "home", "link": reverse("admin:index")}
    groups: list[dict[str, Any]] = [{"items": [home]}]
    for title, pages in GROUPS:
        items = [_item(*page) for page in pages if may_see(request, *page[2:])]
        if items:
            groups.append({"title": title, "separator": True, "items": items})
    return groups


def may_see(request: HttpRequest, app: str, model: str) -> bool:
    return any(request.user.has_perm(f"{app}.{verb}_{model}") for verb in ("view", "change"))


def _item(title: str, symbol: str, app: str, model: str) -> dict[str, Any]:
    link = reverse(f"admin:{app}_{model}_changelist")
    item: dict[str, Any] = {"title": title, "icon": symbol, "link": link}
    if model == "incident" and (count := Incident.objects.filter(closed_at=None).count()):
        item |= {"badge": str(count), "badge_variant": "danger"}
    return item
