"""The redeliver action: it asks with counts and for a reason before it starts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from audit.action_log import Actor
from console.admin.read_only import ReadOnlyAdmin
from console.labels import state_label
from console.links import whole_number
from console.navigation import may_see
from handlers.models import Delivery
from handlers.redelivery.request import (
    Counts,
    RedeliveryRequest,
    TooMany,
    Verdict,
    fate_of_overtaken,
)
from handlers.redelivery.start import COUNT_SECONDS, Grown, begin, overtaken, preview
from handlers.sdk.outcomes import storable
from listeners.access.permissions import REDELIVER, may
from listeners.clock import database_clock

VERDICTS = {
    Verdict.SENT_AGAIN: "redelivered",
    Verdict.FIRST_TIME: "delivered for the first time",
    Verdict.ON_ITS_WAY: "already queued or running, unchanged",
    Verdict.ENDED_SINCE: "succeeded in the meantime, unchanged",
    Verdict.NOT_POSSIBLE: "cannot be redelivered",
}
#: The parameter with the number of deliveries that the confirmation page showed.
NAMED = "named"
AS_RECORDED = "as_recorded"


class RedeliveringAdmin(ReadOnlyAdmin):
    """A page whose rows can be redelivered by users with the permission."""

    actions: Any = ("redeliver",)

    def has_redeliver_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request.user, REDELIVER)

    def deliveries_of(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Delivery]:
        raise NotImplementedError

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        context = super().page_context(request, obj)
        return context | {"can_redeliver": self.has_redeliver_permission(request)}

    @admin.action(description="Redeliver", permissions=["redeliver"])
    def redeliver(self, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
        return self.answer(
            request,
            RedeliveryRequest(
                by=Actor.in_console(request),
                deliveries=self.deliveries_of(request, rows),
                reason=reason_of(request),
                criteria=self._criteria(request),
            ),
        )

    def answer(self, request: HttpRequest, wanted: RedeliveryRequest) -> HttpResponse:
        """Ask with counts, then start the redelivery and show its progress.

        Ask again if there are more deliveries than the user confirmed.
        """
        if not is_confirmed(request):
            return self._ask_with_counts(request, wanted)
        if AS_RECORDED in request.POST:
            criteria = {**wanted.criteria, AS_RECORDED: True}
            wanted = replace(wanted, as_recorded=True, criteria=criteria)
        try:
            at_most = whole_number(request.POST.get(NAMED))
            redelivery = begin(wanted, database_clock.now(), at_most=at_most)
        except Grown:
            messages.warning(request, "More deliveries match now. Confirm the new number.")
            return self._ask_with_counts(request, wanted)
        except TooMany as error:
            messages.error(request, str(error))
            return self.back(request)
        if may_see(request, "handlers", "redelivery"):
            return redirect("admin:handlers_redelivery_change", redelivery.pk)
        messages.success(request, f"Redelivery {redelivery.pk} started.")
        return self.back(request)

    def _ask_with_counts(self, request: HttpRequest, wanted: RedeliveryRequest) -> HttpResponse:
        counts, total = preview(wanted)
        about = (
            ""
            if counts is not None
            else f" There are {total} deliveries, too many to count by state."
        )
        named = None if total.is_estimate else total.number
        number = overtaken(wanted, COUNT_SECONDS)
        return self.ask(
            request,
            title="Redeliver",
            text="Sends recorded changes to their handlers again, in the order of each record."
            + about,
            overtaken=fate_of_overtaken(number, as_recorded=False),
            can_be_as_recorded=number != 0,
            button=f"Redeliver {total}" if total.number else "Redeliver",
            rows=None if counts is None else shown(counts),
            more=[(NAMED, named)] if named is not None else [],
        )

    def ask(self, request: HttpRequest, more: Any = (), **context: Any) -> HttpResponse:
        """Render the confirmation page with a field for the reason.

        `more` are further hidden fields that the confirmation sends back.
        """
        carried = ("action", "select_across", "_selected_action", "from_page")
        sent = [(name, value) for name in carried for value in request.POST.getlist(name)]
        details = {"carried": [*sent, *more], "back": self.back(request).url, **context}
        return self.page(request, "console/ask.html", **details)

    def _criteria(self, request: HttpRequest) -> dict[str, Any]:
        where = {"list": str(self.opts.verbose_name_plural), **request.GET.dict()}
        if request.POST.get("select_across") == "1":
            return where
        return {**where, "selected": request.POST.getlist("_selected_action")}


def is_confirmed(request: HttpRequest) -> bool:
    return "confirm" in request.POST


def reason_of(request: HttpRequest) -> str:
    return storable(request.POST.get("reason", "").strip())


def shown(counts: Counts) -> list[dict[str, Any]]:
    return [
        {
            "handler": row.handler,
            "state": state_label(row.state) if row.state else "",
            "verdict": VERDICTS[row.verdict],
            "reason": row.reason,
            "count": number,
            "number": f"{number:,}",
        }
        for row, number in sorted(counts.items())
    ]
