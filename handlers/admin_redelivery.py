"""Changes are sent to their handlers again from the console: it asks first, with counts, and keeps
the reason. Otherwise nothing here is changed by hand."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from audit.actions import Actor
from audit.admin_window import WindowAdmin
from handlers.admin_labels import state_label
from handlers.models import Delivery
from handlers.outcomes import storable
from handlers.redeliver import counted, redeliver
from handlers.redelivery import Counts, TooMany, Verdict, Wish, refuse_too_many, sent
from listeners.permissions import REDELIVER, may

_VERDICTS = {
    Verdict.SENT_AGAIN: "sent again",
    Verdict.FIRST_TIME: "sent for the first time",
    Verdict.ON_ITS_WAY: "on its way already, left alone",
    Verdict.NOT_POSSIBLE: "not possible",
}


class RedeliveringAdmin(WindowAdmin):
    """Rows whose deliveries can be sent again, by who has the permission."""

    actions: Any = ("redeliver",)

    def has_redeliver_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request.user, REDELIVER)

    def deliveries_of(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Delivery]:
        raise NotImplementedError

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context["can_redeliver"] = self.has_redeliver_permission(request)
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    @admin.action(description="Redeliver", permissions=["redeliver"])
    def redeliver(self, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
        return self.answer(
            request,
            Wish(
                by=Actor.in_console(request),
                deliveries=self.deliveries_of(request, rows),
                reason=reason_of(request),
                criteria=self._criteria(request),
            ),
        )

    def answer(self, request: HttpRequest, wish: Wish) -> HttpResponse:
        """Ask with counts; do it once that was confirmed."""
        try:
            refuse_too_many(wish)
        except TooMany as error:
            messages.error(request, str(error))
            return self.back(request)
        if not is_confirmed(request):
            return self.ask(
                request,
                title="Redeliver",
                text="Recorded changes are sent to their handlers again, each record's in order.",
                button="Redeliver",
                rows=_shown(counted(wish)),
            )
        _, counts = redeliver(wish, timezone.now())
        messages.success(request, f"Sent again: {sent(counts)}.")
        return self.back(request)

    def ask(self, request: HttpRequest, **context: Any) -> HttpResponse:
        """The page before: what would be done, and a field for the reason."""
        carried = ("action", "select_across", "_selected_action", "from_page")
        return TemplateResponse(
            request,
            "handlers/ask.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "carried": [(name, one) for name in carried for one in request.POST.getlist(name)],
                "back": self.back(request).url,
                **context,
            },
        )

    def _criteria(self, request: HttpRequest) -> dict[str, Any]:
        where = {"list": str(self.opts.verbose_name_plural), **request.GET.dict()}
        if request.POST.get("select_across") == "1":
            return where
        return {**where, "selected": request.POST.getlist("_selected_action")}


def is_confirmed(request: HttpRequest) -> bool:
    return "confirm" in request.POST


def reason_of(request: HttpRequest) -> str:
    return storable(request.POST.get("reason", "").strip())


def _shown(counts: Counts) -> list[dict[str, Any]]:
    return [
        {
            "handler": row.handler,
            "state": state_label(row.state),
            "verdict": _VERDICTS[row.verdict],
            "reason": row.reason,
            "count": number,
        }
        for row, number in sorted(counts.items())
    ]
