"""The page of the action log: what operators did."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    FieldTextFilter,
    RangeDateTimeFilter,
)

from audit.models import OperatorAction
from console.admin.read_only import ReadOnlyAdmin
from console.labels import label, moment_column

_Action = OperatorAction.Action
_VARIANTS = {
    _Action.DELETE: "danger",
    _Action.PRUNE: "danger",
    _Action.FORGET_POSITION: "warning",
    _Action.STOP: "warning",
    _Action.REVEAL: "warning",
    _Action.START: "success",
    _Action.ADD: "success",
}


class OperatorActionAdmin(ReadOnlyAdmin):
    list_display = ("when", "who", "what", "about", "fields_changed", "through", "why")
    list_filter = (
        ("action", ChoicesDropdownFilter),
        ("who", FieldTextFilter),
        ("through", ChoicesDropdownFilter),
        ("at", RangeDateTimeFilter),
    )
    empty_title = "No actions yet"
    empty_text = "Every change made in the console, over the API or by a command is listed here."
    search_fields = ("object_name",)
    search_help_text = "The beginning of the object's name"
    change_form_outer_before_template = "console/operator_action.html"
    when = moment_column("at", "when")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return queryset.filter(object_name__startswith=search_term.strip()), False

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        """Also allow the object of an action, by which the history link of a row filters."""
        is_object = lookup in ("object_type", "object_id")
        return is_object or bool(super().lookup_allowed(lookup, value, request))

    @admin.display(description="action")
    def what(self, action: OperatorAction) -> SafeString:
        return what(action)

    @admin.display(description="object")
    def about(self, action: OperatorAction) -> str:
        return f"{action.object_type} {action.object_name}".strip() or "-"

    @admin.display(description="fields")
    def fields_changed(self, action: OperatorAction) -> str:
        fields = ", ".join(map(str, action.details.get("fields") or ()))
        return Truncator(fields).chars(80)

    @admin.display(description="reason")
    def why(self, action: OperatorAction) -> str:
        return Truncator(action.reason).chars(80)

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        details = json.dumps(obj.details, indent=2, ensure_ascii=False)
        return super().page_context(request, obj) | {
            "done": obj,
            "what": what(obj),
            "details": details if obj.details else "",
            "show_history": False,
        }


def what(action: OperatorAction) -> SafeString:
    return label(action.get_action_display(), _VARIANTS.get(_Action(action.action), "info"))
