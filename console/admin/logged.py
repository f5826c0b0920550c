"""The base class of pages that edit rows: it writes the action log and Django's history."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from audit.action_log import Action, Actor, note, note_change
from console.admin.base import ConsoleAdmin


class LoggedAdmin(ConsoleAdmin):
    """Write the action log in the transaction that saves the change."""

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        note(Actor.in_console(request), Action.ADD, obj)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        if message:
            note_change(Actor.in_console(request), obj, **_details(message))
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Write the action log before the rows are deleted."""
        for obj in queryset:
            note(Actor.in_console(request), Action.DELETE, obj)
        return super().log_deletions(request, queryset)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Open a transaction: Django runs the actions of a list without one."""
        if request.method != "POST":
            return super().changelist_view(request, extra_context)
        with transaction.atomic():
            return super().changelist_view(request, extra_context)


def _details(message: Any) -> dict[str, Any]:
    """Return the names of changed fields and inline rows from Django's log message, no values."""
    found: dict[str, Any] = {"fields": []}
    if isinstance(message, str):
        return found | {"message": message}
    for item in message:
        for verb, about in item.items():
            fields = [str(name) for name in about.get("fields", ())]
            if "object" not in about:
                found["fields"] += fields
                continue
            row = f"{about['name']} {about['object']}"
            words = f"{row} ({', '.join(fields)})" if fields else row
            found.setdefault(verb, []).append(words)
    return found
