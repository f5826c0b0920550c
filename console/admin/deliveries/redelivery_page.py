"""A redelivery's page: who, why, how far, and what became of what it sent."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from audit.action_log import Actor
from audit.db.row_count import TookTooLong, time_limit
from console.admin.jobs import LongWorkAdmin
from console.admin.redeliver_action import reason_of, shown
from console.delivery_labels import state_label
from console.job_items import Item, of_redelivery
from handlers.models import Delivery, Redelivery
from handlers.redelivery.job import TASK, cancel, take_up
from handlers.redelivery.request import counts_of
from handlers.reporting import queue_coverage
from handlers.sdk.queues import queue_of
from listeners.access.permissions import REDELIVER, may

#: What became of its deliveries is counted for so many seconds.
COUNT_SECONDS = 0.5


class RedeliveryAdmin(LongWorkAdmin):
    change_form_outer_before_template = "console/redelivery_page.html"
    pages = (
        ("<int:pk>/parts/", "parts", "parts"),
        ("<int:pk>/cancel/", "cancel", "cancel_view"),
        ("<int:pk>/take-up/", "take_up", "take_up_view"),
    )

    def item_of(self, row: Redelivery) -> Item:
        return of_redelivery(row, timezone.now())

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        own = _facts(request, obj) if isinstance(obj, Redelivery) else {}
        return {**super().page_context(request, obj), **own}

    def parts(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of its page that changes, for `refresh.js`."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = get_object_or_404(Redelivery, pk=pk)
        context = {"row": row, "item": self.item_of(row), **_facts(request, row)}
        answer = TemplateResponse(request, "console/redelivery_parts.html", context)
        answer["Cache-Control"] = "no-store"
        return answer

    def cancel_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        text = "What was sent stays sent; the rest is not."
        return self._asked(request, pk, cancel, "Cancel", text)

    def take_up_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        text = "A worker goes on where it was left."
        return self._asked(request, pk, take_up, "Take up again", text)

    def _asked(self, request: HttpRequest, pk: int, act: Any, verb: str, text: str) -> HttpResponse:
        """Asks first, and why; does it when asked by POST."""
        if not may(request.user, REDELIVER):
            raise PermissionDenied
        row = get_object_or_404(Redelivery, pk=pk)
        back = reverse("admin:handlers_redelivery_change", args=[pk])
        if request.method != "POST":
            title = f"{verb}: redelivery {pk}"
            asked = {"original": row, "title": title, "text": text, "button": verb, "back": back}
            return self.page(request, "console/ask.html", **asked)
        if not act(pk, Actor.in_console(request), reason_of(request), timezone.now()):
            messages.info(request, "It has ended meanwhile, or goes on already.")
        return HttpResponseRedirect(back)


def _facts(request: HttpRequest, row: Redelivery) -> dict[str, Any]:
    since = _since(row)
    return {
        "rows": shown(counts_of(row)),
        "since": since,
        # Nothing on its page changes any more, or not soon.
        "settled": row.is_over and not any(one["is_open"] for one in since or ()),
        "waits": _waits(row),
        "left": f"{row.total - row.done:,}" if row.done < row.total else "",
        "can_cancel": may(request.user, REDELIVER) and not row.is_over,
        "can_take_up": may(request.user, REDELIVER) and row.state == Redelivery.State.FAILED,
    }


def _since(row: Redelivery) -> list[dict[str, Any]] | None:
    """What became of those that it was the last to send; None: they are too many to count now."""
    list_of_them = reverse("admin:handlers_delivery_changelist")
    rows = Delivery.objects.filter(redelivery=row.pk).order_by("state")
    try:
        with time_limit(COUNT_SECONDS):
            counts = list(rows.values_list("state").annotate(Count("id")))
    except TookTooLong:
        return None
    about = f"{list_of_them}?redelivery={row.pk}"
    return [
        {
            "label": state_label(state),
            "number": f"{count:,}",
            "href": f"{about}&state={state}",
            "is_open": state in Delivery.UNENDED,
        }
        for state, count in counts
    ]


def _waits(row: Redelivery) -> str:
    """What it waits for, if it does."""
    if row.state != Redelivery.State.WAITING:
        return ""
    queue = queue_of(TASK, "")
    if queue not in queue_coverage.queues_heard(queue_coverage.seen()):
        return f"It waits for a worker: none hears the queue {queue}."
    return "A worker takes it up soon."
