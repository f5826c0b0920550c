"""Saved searches and filters of the audit log, shown as links above it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.request import QueryDict
from django.urls import reverse

from audit.models import SavedFilter
from console.admin.keyset_list import AFTER, BEFORE

_LIST = "audit.auditlogentry"
#: Parameters of a list's address that are not search or filters.
_NOT_KEPT = (BEFORE, AFTER, "p", "e", "o", "all")


def links(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the saved filters that the user sees above the list; one query."""
    current = kept(request.GET.urlencode())
    user_id: Any = request.user.pk
    seen = SavedFilter.objects.seen_by(user_id).filter(list=_LIST).select_related("owner")
    return [
        {
            "saved": saved,
            "href": f"?{saved.query}",
            "is_current": saved.query == current,
            "is_mine": saved.owner_id == user_id,
        }
        for saved in seen
    ]


def save(request: HttpRequest) -> HttpResponse:
    """Save a filter, replacing the user's own of that name."""
    query = kept(request.POST.get("query", ""))
    name = request.POST.get("name", "").replace("\0", "").strip()[:60]
    if not name or not query:
        messages.error(request, "Enter a name, and search or filter the list before saving.")
    else:
        SavedFilter.objects.update_or_create(
            owner_id=request.user.pk,
            list=_LIST,
            name=name,
            defaults={"query": query, "is_shared": "is_shared" in request.POST},
        )
        messages.success(request, f"Filter {name} saved.")
    return _back(query)


def delete(request: HttpRequest) -> HttpResponse:
    """Delete one of the user's own filters."""
    mine = SavedFilter.objects.filter(owner_id=request.user.pk, list=_LIST)
    pk = request.POST.get("id", "")
    if not pk.isdecimal() or not mine.filter(pk=pk[:18]).delete()[0]:
        raise PermissionDenied
    messages.success(request, "Saved filter deleted.")
    return _back("")


def kept(query: str) -> str:
    """Return the search and filters of a list's address in canonical order."""
    given = QueryDict(query.replace("%00", ""))
    found = QueryDict(mutable=True)
    for name, values in sorted(given.lists()):
        if name not in _NOT_KEPT:
            found.setlist(name, [value for value in values if value])
    return found.urlencode()


def _back(query: str) -> HttpResponse:
    address = reverse("admin:audit_auditlogentry_changelist")
    return HttpResponseRedirect(f"{address}?{query}" if query else address)
