"""The pages of redeliveries: who asked and why, progress, and the outcome."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone

from audit.action_log import Actor
from audit.db.row_count import TookTooLong, time_limit
from console import links
from console.admin.jobs import LongWorkAdmin
from console.admin.redeliver_action import reason_of, shown
from console.labels import state_label
from handlers.models import Delivery, Redelivery
from handlers.redelivery.job import TASK, cancel, take_up
from handlers.redelivery.request import counts_of
from handlers.reporting import queue_coverage
from handlers.sdk.registry import queue_of
from listeners.access.permissions import REDELIVER, may

#: Seconds after which counting the deliveries of a redelivery is cancelled.
COUNT_SECONDS = 0.5


class RedeliveryAdmin(LongWorkAdmin):
    empty_title = "No redeliveries yet"
    empty_text = "Start one from the audit log, the deliveries or the dead letters."
    change_form_outer_before_template = "console/redelivery_page.html"
    pages = (
        ("<int:pk>/parts/", "parts", "parts"),
        ("<int:pk>/cancel/", "cancel", "cancel_view"),
        ("<int:pk>/take-up/", "take_up", "take_up_view"),
    )

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        since = _since(obj)
        can_redeliver = may(request.user, REDELIVER)
        return super().page_context(request, obj) | {
            "rows": shown(counts_of(obj)),
            "since": since,
            # The page no longer changes and need not refresh.
            "settled": obj.is_over and not any(row["is_open"] for row in since or ()),
            "waits": _waits(obj),
            "left": f"{obj.total - obj.done:,}" if obj.done < obj.total else "",
            "can_cancel": can_redeliver and not obj.is_over,
            "can_take_up": can_redeliver and obj.state == Redelivery.State.FAILED,
        }

    def parts(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = self.page_context(request, get_object_or_404(Redelivery, pk=pk))
        return self.fragment(request, "console/redelivery_parts.html", context)

    def cancel_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        text = "Deliveries that were already redelivered stay so. The rest is not redelivered."
        return self._asked(request, pk, cancel, "Cancel", text)

    def take_up_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        text = "A worker continues where the redelivery stopped."
        return self._asked(request, pk, take_up, "Resume", text)

    def _asked(self, request: HttpRequest, pk: int, act: Any, verb: str, text: str) -> HttpResponse:
        """Run the action, after a page that asks for confirmation and a reason."""
        if not may(request.user, REDELIVER):
            raise PermissionDenied
        row = get_object_or_404(Redelivery, pk=pk)
        back = reverse("admin:handlers_redelivery_change", args=[pk])
        if request.method != "POST":
            title = f"{verb} redelivery {pk}"
            asked = {"original": row, "title": title, "text": text, "button": verb, "back": back}
            return self.page(request, "console/ask.html", **asked)
        if not act(pk, Actor.in_console(request), reason_of(request), timezone.now()):
            messages.info(request, f"Redelivery {pk} has already finished or is running.")
        return HttpResponseRedirect(back)


def _since(row: Redelivery) -> list[dict[str, Any]] | None:
    """Count its deliveries by state, those of a later redelivery aside; None if too many."""
    rows = Delivery.objects.filter(redelivery=row.pk).order_by("state")
    try:
        with time_limit(COUNT_SECONDS):
            counts = list(rows.values_list("state").annotate(Count("id")))
    except TookTooLong:
        return None
    about = links.listed("handlers_delivery", redelivery=row.pk)
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
    """Return what the redelivery waits for; empty if it does not wait."""
    if row.state != Redelivery.State.WAITING:
        return ""
    queue = queue_of(TASK, "")
    if queue not in queue_coverage.queues_heard(queue_coverage.seen()):
        return f"Waiting for a worker: no worker consumes the queue {queue}."
    return "A worker starts it soon."
