"""What is edited in the console is in the action log, beside Django's own history of the row."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from audit.action_log import Action, Actor, note, note_change
from console.admin.base import ConsoleAdmin


class NotedAdmin(ConsoleAdmin):
    """An editor. Django calls these in the transaction that saves."""

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        note(Actor.in_console(request), Action.ADD, obj)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        if message:
            note_change(Actor.in_console(request), obj, **_details(message))
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """While the rows are still there."""
        for obj in queryset:
            note(Actor.in_console(request), Action.DELETE, obj)
        return super().log_deletions(request, queryset)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Django deletes what is selected in a list outside any transaction."""
        if request.method != "POST":
            return super().changelist_view(request, extra_context)
        with transaction.atomic():
            return super().changelist_view(request, extra_context)


def _details(message: Any) -> dict[str, Any]:
    """Of Django's account of a form: names of fields, and of rows beside it; never a value."""
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
