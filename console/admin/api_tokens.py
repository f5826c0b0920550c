"""Tokens of the API: made for a user, shown once, revoked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.cache import patch_cache_control

from api.models import ApiToken
from console.admin.logged import NotedAdmin

#: What is offered.
LIFE = timedelta(days=365)


class ApiTokenAdmin(NotedAdmin):
    list_display = ("name", "user", "begins_with", "created_at", "expires_at", "last_used_on")
    list_select_related = ("user",)
    fields = ("user", "name", "expires_at")

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return ("name", f"user__{get_user_model().USERNAME_FIELD}", "begins_with")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        told = ("begins_with", "created_at", "last_used_on")
        return (*self.fields, *told) if obj else self.fields

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        offered = {"expires_at": timezone.now().replace(microsecond=0) + LIFE}
        return {**offered, **super().get_changeform_initial_data(request)}

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Another program, another token."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        may = super().has_delete_permission(request, obj)
        return bool(may and (request.user.is_superuser or not (obj and obj.user.is_superuser)))

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Nobody makes himself a superuser by a token of one."""
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
        """The one page that shows the key."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "New API token",
            "token": obj,
            "key": obj.key,
        }
        answer = TemplateResponse(request, "console/new_token.html", context)
        patch_cache_control(answer, no_store=True)
        return answer
