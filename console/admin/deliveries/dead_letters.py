"""The page of dead letters, grouped by handler and error: redeliver or skip a whole group."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from audit.action_log import Actor
from audit.log.masking import Sight
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
_NAME = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Card:
    """A group with the addresses of its buttons; no button where the address is empty."""

    group: Group
    deliveries: str
    example: str
    redeliver: str
    go_on: str
    pause: str
    resume: str

    @property
    def is_paused(self) -> bool:
        mapping = self.group.example.mapping
        return bool(mapping and mapping.paused_at)


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
        here = reverse("admin:handlers_delivery_dead_letters")
        context = {
            **self.admin_site.each_context(request),  # without "opts", so that the title is shown
            "title": TITLES[State(state)],
            "state": state,
            "cards": [self._card(request, group) for group in found.groups],
            "tabs": [
                (TITLES[known], f"{here}?{urlencode({'state': known.value})}", known == state)
                for known in STATES
            ],
            "pages": _beside(here, state, found.number, found.has_more),
        }
        return TemplateResponse(request, "console/dead_letters.html", context)

    def _card(self, request: HttpRequest, group: Group) -> Card:
        known = {"state": group.state, "group": group.name}
        can_redeliver = self.has_redeliver_permission(request)
        can_pause = may(request.user, OPERATE)
        return Card(
            group,
            deliveries=_address("changelist", **known),
            example=reverse("admin:handlers_delivery_change", args=[group.example.pk]),
            redeliver=_address("redeliver_group", **known) if can_redeliver else "",
            go_on=_address("go_on_group", **known) if can_redeliver and group.halting else "",
            pause=_pausing("pause", group.handler) if can_pause else "",
            resume=_pausing("resume", group.handler) if can_pause else "",
        )

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
        """Skip the dead letters of a group that block the next changes of their records."""
        if not self.has_redeliver_permission(request):
            raise PermissionDenied
        rows = deliveries_of(State.DEAD, _name(request)).filter(halts=True).order_by("id")
        ids = list(rows.values_list("pk", flat=True)[:AT_ONCE])
        if not ids:
            messages.info(request, "None of these dead letters blocks other changes.")
        elif not is_confirmed(request):
            return self.ask(
                request,
                title="Skip and continue",
                text=f"{counted(ids)} will be skipped, so that the next change of each record "
                "runs. The reason is stored with the error.",
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


def is_group(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def _state(request: HttpRequest) -> str:
    state = request.GET.get("state", State.DEAD.value)
    if state not in STATES:
        raise Http404
    return state


def _name(request: HttpRequest) -> str:
    name = request.GET.get("group", "")
    if not is_group(name):
        raise Http404
    return name


def _number(request: HttpRequest) -> int:
    number = request.GET.get("page", "1")
    if not (number.isascii() and number.isdecimal() and 0 < int(number[:6]) == int(number)):
        raise Http404
    return int(number)


def counted(ids: list[int]) -> str:
    noun = "dead letter" if len(ids) == 1 else "dead letters"
    return f"The oldest {AT_ONCE:,} {noun}" if len(ids) == AT_ONCE else f"{len(ids):,} {noun}"


def _beside(here: str, state: str, number: int, has_more: bool) -> dict[str, str]:
    def page(other: int) -> str:
        return f"{here}?{urlencode({'state': state, 'page': other})}"

    return {
        "before": page(number - 1) if number > 1 else "",
        "after": page(number + 1) if has_more else "",
    }


def _address(name: str, **parameters: str) -> str:
    return f"{reverse(f'admin:handlers_delivery_{name}')}?{urlencode(parameters)}"


def _pausing(verb: str, handler: str) -> str:
    address = reverse(f"admin:handlers_handlermapping_{verb}_all")
    return f"{address}?{urlencode({'name': handler})}"
