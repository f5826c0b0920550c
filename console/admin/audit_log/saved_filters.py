"""Saved searches and filters of a list, shown as links above it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.http.request import QueryDict

from audit.models import SavedFilter
from console.admin.keyset_list import AFTER, BEFORE

#: Parameters of a list's address that are not search or filters.
_NOT_KEPT = (BEFORE, AFTER, "p", "e", "o", "all")


@dataclass(frozen=True)
class SavedLink:
    saved: SavedFilter
    href: str
    is_current: bool
    is_mine: bool


def links(request: HttpRequest, list_name: str) -> Iterator[SavedLink]:
    """Yield the saved filters that the user sees above a list; one query."""
    current = kept(request.GET.urlencode())
    for saved in _seen(request, list_name).select_related("owner"):
        yield SavedLink(
            saved, f"?{saved.query}", saved.query == current, saved.owner_id == request.user.pk
        )


def save(request: HttpRequest, list_name: str, back: str) -> HttpResponse:
    """Save a filter, replacing the user's own of that name; POST only."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    query = kept(request.POST.get("query", ""))
    name = request.POST.get("name", "").replace("\0", "").strip()[:60]
    if not name or not query:
        messages.error(request, "Enter a name, and search or filter the list before saving.")
    else:
        SavedFilter.objects.update_or_create(
            owner_id=_pk(request),
            list=list_name,
            name=name,
            defaults={"query": query, "is_shared": "is_shared" in request.POST},
        )
        messages.success(request, f"Filter {name} saved.")
    return HttpResponseRedirect(f"{back}?{query}" if query else back)


def delete(request: HttpRequest, list_name: str, back: str) -> HttpResponse:
    """Delete one of the user's own filters; POST only."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    mine = SavedFilter.objects.filter(owner_id=_pk(request), list=list_name)
    pk = request.POST.get("id", "")
    if not pk.isdecimal() or not mine.filter(pk=pk[:18]).delete()[0]:
        raise PermissionDenied
    messages.success(request, "Saved filter deleted.")
    return HttpResponseRedirect(back)


def kept(query: str) -> str:
    """Return the search and filters of a list's address in canonical order."""
    given = QueryDict(query.replace("%00", ""), mutable=True)
    for name in _NOT_KEPT:
        given.pop(name, None)
    pairs = [(name, value) for name, values in sorted(given.lists()) for value in values if value]
    left = QueryDict(mutable=True)
    for name, value in pairs:
        left.appendlist(name, value)
    return left.urlencode()


def _seen(request: HttpRequest, list_name: str) -> QuerySet[SavedFilter]:
    return SavedFilter.objects.seen_by(_pk(request)).filter(list=list_name)


def _pk(request: HttpRequest) -> Any:
    return request.user.pk
