"""The base classes of the console's admin pages."""

import copy
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.text import capfirst
from unfold.admin import ModelAdmin

from audit.action_log import Action, Actor, note, note_change
from console.admin.concurrent_form import ConcurrentForm
from listeners.values import is_same, save_fields


class ConsoleAdmin(ModelAdmin):
    list_per_page = 50
    #: Further pages: route, name after `app_model_`, method.
    pages: Sequence[tuple[str, str, str]] = ()
    #: What an empty list says: what belongs there, and how to get it.
    empty_title = ""
    empty_text = ""
    #: Whether the list offers to delete the selected rows. False where the page that deletes a row
    #: names what still uses it.
    offers_bulk_deletion = True
    #: The field that the conditions of `conditional_fields` need. A read-only page lacks it, and
    #: shows every field.
    condition_field = ""

    def get_urls(self) -> list[Any]:
        names, view = f"{self.opts.app_label}_{self.opts.model_name}", self.admin_site.admin_view
        own = [
            path(route, view(getattr(self, method)), name=f"{names}_{name}")
            for route, name, method in self.pages
        ]
        return [*own, *super().get_urls()]

    def page(self, request: HttpRequest, template: str, **context: Any) -> TemplateResponse:
        """Render a page with the console's menu, and breadcrumbs or (`opts=None`) its title."""
        frame = {**self.admin_site.each_context(request), "opts": self.opts}
        return TemplateResponse(request, template, {**frame, **context})

    def fragment(
        self, request: HttpRequest, template: str, context: dict[str, Any]
    ) -> TemplateResponse:
        """Render the part of a page that `refresh.js` refreshes."""
        return TemplateResponse(request, template, context, headers={"Cache-Control": "no-store"})

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        """Return what the templates of a row's page need; `obj` is None for a new row."""
        return {"show_history": request.user.has_perm("audit.view_operatoraction")}

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context |= self.page_context(request, kwargs.get("obj"))
        if self.condition_field and self.condition_field not in context["adminform"].form.fields:
            without_conditions = context["adminform"].model_admin = copy.copy(self)
            without_conditions.conditional_fields = {}
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    def row(self, request: HttpRequest, object_id: str) -> Any:
        """Return the row with that id, or raise 404; the id may be malformed."""
        found = self.get_object(request, object_id)
        if found is None:
            raise Http404
        return found

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> Any:
        place = {"action_location": action_location} if action_location else {}  # Django 6.1
        actions = super().get_actions(request, **place)
        if not self.offers_bulk_deletion:
            actions.pop("delete_selected", None)
        return actions

    def get_action_choices(
        self, request: HttpRequest, default_choices: Any = None, action_location: Any = None
    ) -> list[tuple[str, str]]:
        """Accept the `action_location` of Django 6.1, which unfold does not accept yet.

        The console shows actions above lists only.
        """
        choices: list[tuple[str, str]] = super().get_action_choices(request)
        return choices

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"title": f"New {self.opts.verbose_name}", **(extra_context or {})}
        response: HttpResponse = super().add_view(request, form_url, context)
        return response

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Redirect to the actions on this row in the action log.

        Django's own history has no actions of the REST API, of commands and of configuration files.
        """
        about = {"object_type": self.opts.model_name, "object_id": object_id}
        log = reverse("admin:audit_operatoraction_changelist")
        return HttpResponseRedirect(f"{log}?{urlencode(about)}")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Refuse an action that the user may not run; Django would say that there is no such
        action."""
        asked = request.POST.get("action")
        if asked in (self.actions or ()) and asked not in self.get_actions(request):
            raise PermissionDenied
        title = str(capfirst(self.opts.verbose_name_plural))
        response: HttpResponse = super().changelist_view(
            request, {"title": title, **(extra_context or {})}
        )
        return response


class LoggedAdmin(ConsoleAdmin):
    """A page that edits rows: it writes the action log in the transaction that saves the change."""

    form = ConcurrentForm
    change_form_before_template = "console/shown_values.html"

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Remember the values that the row was loaded with."""
        row = super().get_object(request, *args, **kwargs)
        if row is not None:
            row.as_loaded = dict(row.__dict__)
        return row

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save only the fields of a stored row that the form has changed, so that what others
        change at the same time is kept, such as a pause, a password or a rotated token."""
        if not change:
            super().save_model(request, obj, form, change)
            return
        names = {field.attname: field.name for field in obj._meta.concrete_fields}
        changed = [
            name
            for attname, name in names.items()
            if not is_same(obj.as_loaded[attname], getattr(obj, attname))
        ]
        if changed:
            save_fields(obj, changed)

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        note(Actor.in_console(request), Action.ADD, obj)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        if message:
            note_change(Actor.in_console(request), obj, **_details(message))
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Write the action log before the rows are deleted."""
        for obj in queryset:
            note(Actor.in_console(request), Action.DELETE, obj)
        return super().log_deletions(request, queryset)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Open a transaction: Django runs the actions of a list without one."""
        if request.method != "POST":
            return super().changelist_view(request, extra_context)
        with transaction.atomic():
            return super().changelist_view(request, extra_context)


def _details(message: Any) -> dict[str, Any]:
    """Return the names of changed fields and inline rows from Django's log message, no values."""
    found: dict[str, Any] = {"fields": []}
    if isinstance(message, str):
        return found | {"message": message}
    for item in message:
        for verb, about in item.items():
            fields = [str(name) for name in about.get("fields", ())]
            if "object" not in about:
                found["fields"] += fields
                continue
            row = f"{about['name']} {about['object']}"
            words = f"{row} ({', '.join(fields)})" if fields else row
            found.setdefault(verb, []).append(words)
    return found
