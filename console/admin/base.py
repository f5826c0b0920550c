"""What all pages of the console have in common."""

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from unfold.admin import ModelAdmin


class ConsoleAdmin(ModelAdmin):
    #: Pages beside Django's: route, name behind `app_model_`, method. A subclass adds to them.
    pages: Sequence[tuple[str, str, str]] = ()

    def get_urls(self) -> list[Any]:
        names, view = f"{self.opts.app_label}_{self.opts.model_name}", self.admin_site.admin_view
        own = [
            path(route, view(getattr(self, method)), name=f"{names}_{name}")
            for kind in type(self).__mro__
            for route, name, method in vars(kind).get("pages", ())
        ]
        return [*own, *super().get_urls()]

    def page(self, request: HttpRequest, template: str, **context: Any) -> TemplateResponse:
        """One of the pages, in the console's frame."""
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
        """What the address names, or 404: it may be no number, or one that no row can have."""
        found = self.get_object(request, object_id)
        if found is None:
            raise Http404
        return found

    def get_action_choices(
        self, request: HttpRequest, default_choices: Any = None, action_location: Any = None
    ) -> list[tuple[str, str]]:
        """Django 6.1 names the place of the actions and warns of who does not take it, as unfold
        does not. Here they stand above lists and nowhere else."""
        choices: list[tuple[str, str]] = super().get_action_choices(request)
        return choices

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Who asks for what he may not do is told so; Django would say that there is no such
        action."""
        asked = request.POST.get("action")
        if asked in (self.actions or ()) and asked not in self.get_actions(request):
            raise PermissionDenied
        response: HttpResponse = super().changelist_view(request, extra_context)
        return response
