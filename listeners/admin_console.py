"""What all pages of the console have in common."""

from typing import Any

from django.http import HttpRequest
from unfold.admin import ModelAdmin


class ConsoleAdmin(ModelAdmin):
    def get_action_choices(
        self, request: HttpRequest, default_choices: Any = None, action_location: Any = None
    ) -> list[tuple[str, str]]:
        """Django 6.1 names the place of the actions and warns of who does not take it, as unfold
        does not. Here they stand above lists and nowhere else."""
        choices: list[tuple[str, str]] = super().get_action_choices(request)
        return choices
