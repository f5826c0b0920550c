"""What all pages of the console have in common."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from unfold.admin import ModelAdmin


class ConsoleAdmin(ModelAdmin):
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
