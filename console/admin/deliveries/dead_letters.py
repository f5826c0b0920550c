"""The page of dead letters, grouped by handler and error: redeliver or skip a whole group."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from audit.action_log import Actor
from audit.log.masking import Sight
from console import links
from console.admin.redeliver_action import RedeliveringAdmin, is_confirmed, reason_of
from handlers.dead_letters.groups import STATES, Group, deliveries_of, page_of, summary_of_group
from handlers.dead_letters.halt import skip_halting
from handlers.models import Delivery
from handlers.redelivery.request import RedeliveryRequest
from listeners.access.permissions import OPERATE, may

State = Delivery.State
TITLES = {State.DEAD: "Dead letters", State.RETRYING: "Waiting for retry"}
#: The most dead letters skipped in one request, which the web server would otherwise time out.
AT_ONCE = 2000
#: A page further on would need too large an offset.
LAST_PAGE = 999_999
_NAME = re.compile(r"[0-9a-f]{16}")


class DeadLettersAdmin(RedeliveringAdmin):
    pages = (
        ("dead-letters/", "dead_letters", "dead_letters"),
        ("dead-letters/redeliver/", "redeliver_group", "redeliver_group"),
        ("dead-letters/go-on/", "go_on_group", "go_on_group"),
    )

    def dead_letters(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        state = _state(request)
        found = page_of(state, _number(request), Sight.in_console(request.user))
        return self.page(
            request,
            "console/dead_letters.html",
            opts=None,
            title=TITLES[State(state)],
            state=state,
            cards=[self._card(request, group) for group in found.groups],
            tabs=[
                (TITLES[known], _address("dead_letters", state=known.value), known == state)
                for known in STATES
            ],
            pages=_beside(state, found.number, found.has_more),
        )

    def _card(self, request: HttpRequest, group: Group) -> dict[str, Any]:
        """Return a group with the addresses of its buttons; empty: no button."""
        known = {"state": group.state, "group": group.name}
        can_redeliver = self.has_redeliver_permission(request)
        mapping = group.example.mapping
        can_pause = may(request.user, OPERATE) and not mapping.managed
        return {
            "group": group,
            "is_paused": bool(mapping.paused_at),
            "deliveries": _address("changelist", **known),
            "example": links.delivery(group.example.pk),
            "redeliver": _address("redeliver_group", **known) if can_redeliver else "",
            "go_on": _address("go_on_group", **known) if can_redeliver and group.halting else "",
            "pause": _pausing("pause", group.handler) if can_pause else "",
            "resume": _pausing("resume", group.handler) if can_pause else "",
        }

    def redeliver_group(self, request: HttpRequest) -> HttpResponse:
        """Redeliver a group, after a page that asks with counts."""
        if not self.has_redeliver_permission(request):
            raise PermissionDenied
        state, name = _state(request), _name(request)
        redelivery_request = RedeliveryRequest(
            by=Actor.in_console(request),
            deliveries=deliveries_of(state, name),
            reason=reason_of(request),
            criteria={"state": state} | summary_of_group(state, name),
        )
        return self.answer(request, redelivery_request)

    def go_on_group(self, request: HttpRequest) -> HttpResponse:
        """Skip the dead letters of a group that hold back the next changes of their records."""
        if not self.has_redeliver_permission(request):
            raise PermissionDenied
        rows = deliveries_of(State.DEAD, _name(request)).filter(halts=True).order_by("id")
        ids = list(rows.values_list("pk", flat=True)[:AT_ONCE])
        return self.skip(request, ids)

    def skip(self, request: HttpRequest, ids: list[int]) -> HttpResponse:
        """Skip dead letters, after a page that asks; the next changes of their records run."""
        if not ids:
            messages.info(request, "None of these dead letters holds back next changes.")
        elif not is_confirmed(request):
            return self.ask(
                request,
                title="Skip and continue",
                text=f"{_counted(ids)} will stay dead, and the next change of each record runs. "
                "The reason is stored with the error.",
                button=f"Skip {len(ids):,} and continue",
            )
        else:
            by, reason = Actor.in_console(request), reason_of(request)
            messages.success(
                request, f"Skipped: {skip_halting(ids, by, reason, timezone.now()):,}."
            )
        return self.back(request)

    def back(self, request: HttpRequest) -> HttpResponseRedirect:
        if request.resolver_match and request.resolver_match.url_name in (
            "handlers_delivery_redeliver_group",
            "handlers_delivery_go_on_group",
        ):
            return HttpResponseRedirect(_address("dead_letters", state=_state(request)))
        return super().back(request)


def _state(request: HttpRequest) -> str:
    state = request.GET.get("state", State.DEAD.value)
    if state not in STATES:
        raise Http404
    return state


def _name(request: HttpRequest) -> str:
    name = request.GET.get("group", "")
    if not _NAME.fullmatch(name):
        raise Http404
    return name


def _number(request: HttpRequest) -> int:
    number = links.whole_number(request.GET.get("page", "1"))
    if not number or number > LAST_PAGE:
        raise Http404
    return number


def _counted(ids: list[int]) -> str:
    noun = "dead letter" if len(ids) == 1 else "dead letters"
    return f"The oldest {AT_ONCE:,} {noun}" if len(ids) == AT_ONCE else f"{len(ids):,} {noun}"


def _beside(state: str, number: int, has_more: bool) -> dict[str, str]:
    def page(other: int) -> str:
        return _address("dead_letters", state=state, page=other)

    return {
        "before": page(number - 1) if number > 1 else "",
        "after": page(number + 1) if has_more else "",
    }


def _address(name: str, **parameters: Any) -> str:
    return f"{reverse(f'admin:handlers_delivery_{name}')}?{urlencode(parameters)}"


def _pausing(verb: str, handler: str) -> str:
    address = reverse(f"admin:handlers_handlermapping_{verb}_all")
    return f"{address}?{urlencode({'name': handler})}"
