"""The page of API tokens: created for a user, shown once, revoked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from api.models import ApiToken
from console.admin.base import LoggedAdmin

#: The suggested lifetime of a new token.
LIFE = timedelta(days=365)


class ApiTokenAdmin(LoggedAdmin):
    list_display = ("name", "user", "begins_with", "created_at", "expires_at", "last_used_on")
    empty_title = "No API tokens yet"
    empty_text = "Create a token for each program that calls the REST API."
    list_select_related = ("user",)
    fields = ("user", "name", "expires_at")

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return ("name", f"user__{get_user_model().USERNAME_FIELD}", "begins_with")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        read_only = ("begins_with", "created_at", "last_used_on")
        return (*self.fields, *read_only) if obj else self.fields

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        suggested = {"expires_at": timezone.now().replace(microsecond=0) + LIFE}
        return {**suggested, **super().get_changeform_initial_data(request)}

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tokens are not edited: each program gets its own."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        may = super().has_delete_permission(request, obj)
        return bool(may and (request.user.is_superuser or not (obj and obj.user.is_superuser)))

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer superusers to superusers only: a token acts as its user."""
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if not request.user.is_superuser:
            field.queryset = field.queryset.filter(is_superuser=False)
        return field

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        obj.make_key()
        super().save_model(request, obj, form, change)

    def response_add(
        self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the key, on this page only."""
        template, title = "console/new_token.html", "New API token"
        answer = self.page(request, template, title=title, token=obj, key=obj.key)
        answer["Cache-Control"] = "no-store"
        return answer
