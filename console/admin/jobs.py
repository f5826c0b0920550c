"""The pages of background jobs: an overview that refreshes itself, and a page for each job."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.forms.widgets import Script
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from console.admin.read_only import ReadOnlyAdmin
from console.job_items import Item, finished, item_of, running
from console.labels import label, moment
from console.navigation import may_see

#: The full lists of each kind: title, app and model.
LISTS = (
    ("Redeliveries", "handlers", "redelivery"),
    ("Reconciliations", "audit", "reconciliation"),
    ("Mirror runs", "mirror", "mirrorrun"),
    ("Exports and pruning", "audit", "work"),
)


class LongWorkAdmin(ReadOnlyAdmin):
    """The base class of the pages of jobs, which show progress."""

    list_display: Any = ("begun", "state_shown", "who", "about", "progress")
    list_filter: Any = (("state", ChoicesDropdownFilter),)

    class Media:
        js: ClassVar = [Script("console/refresh.js", defer=True)]
        css: ClassVar = {"all": ["console/work.css"]}

    @admin.display(description="started")
    def begun(self, row: Any) -> SafeString | str:
        return moment(_item(row).begun_at)

    @admin.display(description="state")
    def state_shown(self, row: Any) -> SafeString:
        item = _item(row)
        return label(item.state_name, item.variant)

    @admin.display(description="requested by")
    def who(self, row: Any) -> str:
        return _item(row).who

    @admin.display(description="scope")
    def about(self, row: Any) -> str:
        return _item(row).about or "-"

    @admin.display(description="progress")
    def progress(self, row: Any) -> str:
        item = _item(row)
        return item.outcome if item.finished_at else item.progress

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        context = super().page_context(request, obj)
        return context | {"item": _item(obj), "row": obj, "show_history": False}


class WorkAdmin(LongWorkAdmin):
    empty_title = "No exports and no pruning yet"
    empty_text = "Exports of the audit log and the pruning of old entries are listed here."
    list_display = ("begun", "kind", "state_shown", "who", "about", "progress")
    list_filter = (("kind", ChoicesDropdownFilter), ("state", ChoicesDropdownFilter))
    change_form_outer_before_template = "console/work_page.html"
    pages = (("overview/", "overview", "overview"), ("overview/parts/", "parts", "parts"))

    def overview(self, request: HttpRequest) -> HttpResponse:
        """Show the running jobs and the latest finished ones, of every kind."""
        context = _found(request)
        return self.page(
            request, "console/work.html", opts=None, title="Background jobs", **context
        )

    def parts(self, request: HttpRequest) -> HttpResponse:
        return self.fragment(request, "console/work_parts.html", _found(request))


class ReconciliationAdmin(LongWorkAdmin):
    empty_title = "No reconciliations yet"
    empty_text = (
        "A reconciliation compares Salesforce with the audit log. It starts after a long outage, "
        "and by the command reconcile_cdc."
    )
    list_filter = (("reason", ChoicesDropdownFilter), ("state", ChoicesDropdownFilter))
    list_select_related = ("listener",)
    change_form_outer_before_template = "console/comparison_page.html"


def _item(row: Any) -> Item:
    return item_of(row, timezone.now())


def _found(request: HttpRequest) -> dict[str, Any]:
    lists = [entry for entry in LISTS if may_see(request, *entry[1:])]
    if not lists:
        raise PermissionDenied
    now = timezone.now()
    return {
        "running": running(now, request.user),
        "finished": finished(now, request.user),
        "lists": [(title, f"admin:{app}_{model}_changelist") for title, app, model in lists],
    }
