"""The page of a handler mapping: its deliveries, and a preview of matching changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from audit.log.masking import Sight
from console import links
from console.designer import facts
from console.designer.counts import Waiting
from console.designer.drawing import Route, draw
from console.designer.preview import preview
from console.navigation import Reader, may_see
from handlers.models import Delivery, HandlerMapping
from listeners.models import Listener

State = Delivery.State


def may_preview(request: HttpRequest) -> bool:
    return may_see(request, "audit", "auditlogentry")


def context(request: HttpRequest, mapping: HandlerMapping | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "can_preview": may_preview(request),
        "preview_url": reverse(
            "admin:handlers_handlermapping_preview", args=[mapping.pk] if mapping else []
        ),
    }
    listener = mapping.listener if mapping else _asked_for(request)
    if listener is None:
        return found
    found |= {"listener": listener, "back": links.listener(listener.pk)}
    if mapping is not None:
        drawing = draw(facts.read(listener, Reader.of(request), timezone.now()))
        found |= {
            "mapping": mapping,
            "route": _route(mapping, drawing.groups),
            "recent": drawing.recent,
            "mirror": drawing.facts.mirror_of(mapping),
            "left_behind": _left_behind(mapping, drawing.facts.waiting),
        }
    return found


def _asked_for(request: HttpRequest) -> Listener | None:
    pk = links.whole_number(request.POST.get("listener") or request.GET.get("listener"))
    return Listener.objects.filter(pk=pk).first() if pk else None


def _route(mapping: HandlerMapping, groups: Any) -> Route | None:
    routes: Iterator[Route] = (route for group in groups for route in group["routes"])
    return next((route for route in routes if route.mapping.pk == mapping.pk), None)


def _left_behind(mapping: HandlerMapping, waits: Waiting) -> dict[str, str]:
    """Return the counts of waiting deliveries and dead letters that a deletion leaves behind."""
    counts = waits.of(mapping.pk)
    waiting = sum(counts[state] for state in Delivery.UNENDED)
    return {
        "waiting": waits.shown(waiting, *Delivery.UNENDED) if waiting else "",
        "dead": waits.shown(counts[State.DEAD], State.DEAD) if counts[State.DEAD] else "",
    }


def preview_of(request: HttpRequest, mapping: HandlerMapping) -> HttpResponse:
    found = preview(mapping, Sight.in_console(request.user))
    return _answer(request, {"preview": found, "summary": found.summary})


def refused(request: HttpRequest, form: ModelForm[HandlerMapping]) -> HttpResponse:
    """Answer with the form's errors; fields that are still empty are no errors yet."""
    empty = [
        name
        for name, found in form.errors.as_data().items()
        if all(error.code == "required" for error in found)
    ]
    errors = [
        (form[name].id_for_label, form[name].label, messages)
        if name in form.fields
        else ("", "", messages)
        for name, messages in form.errors.items()
        if name not in empty
    ]
    if errors:
        summary = "Correct the form to see the preview."
    else:
        labels = [str(form[name].label) for name in empty]
        summary = f"Fill in {', '.join(labels)} to see which recent changes would match."
    return _answer(request, {"errors": errors, "summary": summary})


def _answer(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Render the preview for `preview.js`."""
    answer = render(request, "console/designer/preview.html", context)
    answer["Cache-Control"] = "no-store"
    return answer
