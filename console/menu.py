"""The sections of the console's menu, and the section of each page."""

from django.conf import settings
from django.urls import reverse

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
        "Handlers",
        (
            ("Handler mappings", "alt_route", "handlers", "handlermapping"),
            ("Deliveries", "outbox", "handlers", "delivery"),
            ("Dead letters", "feedback", "handlers", "delivery", "dead_letters"),
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
_UNLISTED = {("handlers", "redelivery"): "Activity", ("audit", "reconciliation"): "Activity"}


def section_of(path: str) -> str:
    """Return the menu's section of a page; empty for a page that belongs to none."""
    root = reverse("admin:index")
    app, _, rest = path.removeprefix(root).partition("/")
    model = (app, rest.partition("/")[0])
    sections = {page[2:4]: title for title, pages in GROUPS for page in pages} | _UNLISTED
    return sections.get(model, "") if path.startswith(root) else ""
