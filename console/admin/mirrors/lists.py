"""The lists of the differences and runs of mirrors."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter

from audit.log.masking import Sight
from console import links
from console.admin.jobs import LongWorkAdmin
from console.admin.mirrors.state import text_of
from console.admin.read_only import ReadOnlyAdmin, ReadOnlyChangeList, StateFilter
from console.labels import label, moment_column
from console.navigation import may_see
from mirror.models import Difference

#: Options and counts of runs whose names do not say enough.
_NAMES = {
    "schema_only": "Without formulas",
    "rows_in_salesforce": "Records in Salesforce",
    "swept": "Changed during the load",
    "applied": "Rows written",
    "doubtful": "Records to read again",
    "refused": "Values kept in raw",
    "rest_because": "Not read by Bulk API because",
    "updated": "Changed ids compared",
    "compared": "Records compared",
    "late": "Changes on their way",
    "unreadable": "Records that cannot be read",
    "stored": "Differences recorded",
    "formulas": "Formula values refreshed",
    "open": "Open differences",
    "pending": "Changes still on their way",
    "reason_missing_row": "Missing rows",
    "reason_hard_deleted": "Hard-deleted records",
    "reason_not_deleted": "Rows wrongly deleted",
    "reason_new_field": "Values of new fields",
    "reason_converted": "Values of changed types",
    "reason_unexplained": "Unexplained differences",
}


class OpenFilter(StateFilter):
    field = "repaired_at"
    states = (("open", "Open"), ("repaired", "Repaired"))


class DifferenceChangeList(ReadOnlyChangeList):
    """A list whose rows know which values the user may see."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        sight = Sight.in_console(request.user)
        self.result_list = list(self.result_list)
        for row in self.result_list:
            about = (row.mirror.listener, row.mirror.salesforce_object, row.field)
            row.shown_here = text_of(sight.value(row.here, *about))
            row.shown_there = text_of(sight.value(row.there, *about))


class DifferenceAdmin(ReadOnlyAdmin):
    list_display = (
        *("record_id", "mirror", "of_field", "in_mirror", "in_salesforce", "why"),
        *("found", "repaired", "repaired_by"),
    )
    list_display_links = None
    list_filter = (
        ("mirror", RelatedDropdownFilter),
        OpenFilter,
        ("reason", ChoicesDropdownFilter),
    )
    list_select_related = ("mirror__listener",)
    search_fields = ("record_id",)
    empty_title = "No differences"
    empty_text = "Verifications list what differs between a mirror and Salesforce here."
    found = moment_column("found_at", "found")
    repaired = moment_column("repaired_at", "repaired")
    changelist = DifferenceChangeList

    @admin.display(description="field")
    def of_field(self, difference: Difference) -> str:
        return str(difference.field or "whole\u00a0record")

    @admin.display(description="in the mirror")
    def in_mirror(self, difference: Any) -> str:
        return str(difference.shown_here)

    @admin.display(description="in Salesforce")
    def in_salesforce(self, difference: Any) -> str:
        return str(difference.shown_there)

    @admin.display(description="reason")
    def why(self, difference: Difference) -> SafeString | str:
        text = str(difference.get_reason_display())
        is_bad = difference.reason == Difference.Reason.UNEXPLAINED and not difference.repaired_at
        return label(text, "danger") if is_bad else text


class MirrorRunAdmin(LongWorkAdmin):
    list_display = ("begun", "mirror", "kind", "state_shown", "who", "progress")
    list_filter = (
        ("mirror", RelatedDropdownFilter),
        ("kind", ChoicesDropdownFilter),
        ("state", ChoicesDropdownFilter),
    )
    list_select_related = ("mirror",)
    empty_title = "No runs yet"
    empty_text = "Loads, sweeps, verifications and repairs of mirrors are listed here."
    change_form_outer_before_template = "console/mirrors/run.html"

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        facts = {**obj.options, **obj.report}
        shown = [(_NAMES.get(name, _words(name)), _text(facts[name])) for name in facts]
        href = links.mirror(obj.mirror_id) if may_see(request, "mirror", "mirror") else ""
        return super().page_context(request, obj) | {"facts": shown, "mirror_href": href}


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _text(value: Any) -> str:
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return f"{value:,}" if is_count else text_of(value)
