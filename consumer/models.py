"""The permissions that were granted to the roles."""

from __future__ import annotations

from django.db import models


class RolePermission(models.Model):
    """A permission that was granted to a role. It is granted only once, so that it stays removed
    when an operator removes it."""

    role = models.CharField(max_length=150)
    permission = models.CharField(max_length=200, help_text="Such as listeners.view_listener.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["role", "permission"], name="role_permission_once"),
        ]

    def __str__(self) -> str:
        return f"{self.role}: {self.permission}"
