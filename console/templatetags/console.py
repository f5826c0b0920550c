"""The breadcrumbs of the console's pages."""

from __future__ import annotations

from typing import Any

from django import template
from django.db.models import Model
from django.http import HttpRequest
from django.utils.text import capfirst

from console.navigation import section_of

register = template.Library()


@register.simple_tag
def breadcrumbs(request: HttpRequest, parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return unfold's breadcrumbs below the menu's section in place of the Django app.

    Names of models are capitalised; names of rows are shown as they are written.
    """
    shown = [{"title": _title(part["title"]), "link": part.get("link", "")} for part in parts]
    section = section_of(request.path)
    if section:
        shown = [{"title": section, "link": ""}, *(shown[1:] or shown)]
    if new := _new_object(request):
        shown.append({"title": new, "link": ""})
    return shown


def _title(title: Any) -> str:
    return str(title) if isinstance(title, Model) else str(capfirst(title))


def _new_object(request: HttpRequest) -> str:
    """Return the title of a form for a new row; empty on any other page."""
    match = request.resolver_match
    if match is None or not (match.url_name or "").endswith("_add"):
        return ""
    model_admin = getattr(match.func, "model_admin", None)
    return f"New {model_admin.opts.verbose_name}" if model_admin else ""
