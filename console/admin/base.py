"""The base class of the console's admin pages."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.text import capfirst
from unfold.admin import ModelAdmin


class ConsoleAdmin(ModelAdmin):
    #: Further pages: route, name after `app_model_`, method. A subclass adds to those of its base.
    pages: Sequence[tuple[str, str, str]] = ()
    #: What an empty list says: what belongs there, and how to get it.
    empty_title = ""
    empty_text = ""

    def get_urls(self) -> list[Any]:
        names, view = f"{self.opts.app_label}_{self.opts.model_name}", self.admin_site.admin_view
        own = [
            path(route, view(getattr(self, method)), name=f"{names}_{name}")
            for kind in type(self).__mro__
            for route, name, method in vars(kind).get("pages", ())
        ]
        return [*own, *super().get_urls()]

    def page(self, request: HttpRequest, template: str, **context: Any) -> TemplateResponse:
        """Render a page with the console's menu and breadcrumbs."""
        frame = {**self.admin_site.each_context(request), "opts": self.opts}
        return TemplateResponse(request, template, {**frame, **context})

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        """Return what the templates of a row's page need; `obj` is None for a new row."""
        return {}

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context |= self.page_context(request, kwargs.get("obj"))
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    def row(self, request: HttpRequest, object_id: str) -> Any:
        """Return the row with that id, or raise 404; the id may be malformed."""
        found = self.get_object(request, object_id)
        if found is None:
            raise Http404
        return found

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
