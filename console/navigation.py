"""The console's menu, and what a user may see of each page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.urls import reverse

from audit.log.masking import Sight
from audit.models import Incident
from listeners.access.permissions import OPERATE, may

#: The user model's app and name.
USER = tuple(settings.AUTH_USER_MODEL.lower().split("."))

#: Sections of the menu and their pages: title, symbol, app, model, and the page if not the list.
GROUPS = (
    (
        "Sources",
        (
            ("Listeners", "hearing", "listeners", "listener"),
            ("Connections", "cloud", "listeners", "connection"),
        ),
    ),
    (
        "Data",
        (
            ("Mirrors", "database", "mirror", "mirror"),
            ("Differences", "difference", "mirror", "difference"),
        ),
    ),
    (
        "Handlers",
        (
            ("Handler mappings", "alt_route", "handlers", "handlermapping"),
            ("Deliveries", "outbox", "handlers", "delivery"),
            ("Dead letters", "feedback", "handlers", "delivery", "dead_letters"),
            ("Destinations", "dns", "handlers", "destination"),
            ("Workers", "memory", "handlers", "worker"),
        ),
    ),
    (
        "Activity",
        (
            ("Audit log", "history", "audit", "auditlogentry"),
            ("Incidents", "warning", "audit", "incident"),
            ("Quarantine", "block", "audit", "quarantined"),
            ("Background jobs", "pending_actions", "audit", "work", "overview"),
        ),
    ),
    (
        "Access",
        (
            ("Users", "person", *USER),
            ("Groups", "group", "auth", "group"),
            ("API tokens", "key", "api", "apitoken"),
            ("Action log", "checklist", "audit", "operatoraction"),
        ),
    ),
)
#: Sections of the models whose lists the menu does not name: the page of background jobs does.
_UNLISTED = {
    ("handlers", "redelivery"): "Activity",
    ("audit", "reconciliation"): "Activity",
    ("mirror", "mirrorrun"): "Activity",
}
#: Permissions to view each kind of background job.
_LONG_WORK = (
    "handlers.view_redelivery",
    "audit.view_reconciliation",
    "mirror.view_mirrorrun",
    "audit.view_work",
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


def section_of(path: str) -> str:
    """Return the menu's section of a page; empty for a page that belongs to none."""
    root = reverse("admin:index")
    app, _, rest = path.removeprefix(root).partition("/")
    model = (app, rest.partition("/")[0])
    sections = {page[2:4]: title for title, pages in GROUPS for page in pages} | _UNLISTED
    return sections.get(model, "") if path.startswith(root) else ""


def _is_shown(request: HttpRequest, app: str, model: str) -> bool:
    """Return whether the user may see the page; a custom user model may have none."""
    if (app, model) == USER and not admin.site.is_registered(get_user_model()):
        return False
    return may_see(request, app, model)


def _mark(groups: list[dict[str, Any]], path: str) -> None:
    """Mark the menu item of the page, or of the nearest page above it, as active."""
    pages = [item for group in groups for item in group["items"]]
    above = [page["link"] for page in pages[1:] if path.startswith(page["link"])]
    here = max(above, key=len, default=path)
    for page in pages:
        page["active"] = page["link"] == here


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


@dataclass(frozen=True)
class Reader:
    """The objects that a user may see and change; pages hide numbers and links of all others."""

    sight: Sight
    sees_listeners: bool
    sees_mappings: bool
    sees_connections: bool
    sees_entries: bool
    sees_deliveries: bool
    sees_incidents: bool
    sees_workers: bool
    sees_mirrors: bool
    adds_connections: bool
    adds_listeners: bool
    adds_mappings: bool
    operates: bool
    long_work: frozenset[str]

    @classmethod
    def of(cls, request: HttpRequest) -> Reader:
        has = request.user.has_perm
        return cls(
            sight=Sight.in_console(request.user),
            sees_listeners=may_see(request, "listeners", "listener"),
            sees_mappings=may_see(request, "handlers", "handlermapping"),
            sees_connections=may_see(request, "listeners", "connection"),
            sees_entries=may_see(request, "audit", "auditlogentry"),
            sees_deliveries=may_see(request, "handlers", "delivery"),
            sees_incidents=may_see(request, "audit", "incident"),
            sees_workers=may_see(request, "handlers", "worker"),
            sees_mirrors=may_see(request, "mirror", "mirror"),
            adds_connections=has("listeners.add_connection"),
            adds_listeners=has("listeners.add_listener"),
            adds_mappings=has("handlers.add_handlermapping"),
            operates=may(request.user, OPERATE),
            long_work=frozenset(filter(has, _LONG_WORK)),
        )

    def has_perm(self, permission: str) -> bool:
        """Answer like a user, for the code that lists background jobs."""
        return permission in self.long_work

    @property
    def sees_anything(self) -> bool:
        return any(self._sights)

    @property
    def sees_everything(self) -> bool:
        return all(self._sights)

    @property
    def _sights(self) -> tuple[bool, ...]:
        return (
            self.sees_listeners,
            self.sees_entries,
            self.sees_deliveries,
            self.sees_incidents,
            self.sees_workers,
            self.sees_mirrors,
        )
