"""Who may do what: Django's permissions of the model, the one to view it among them, and those of
actions beside."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import DjangoModelPermissions
from rest_framework.request import Request

from listeners.permissions import may

_VIEW = ["%(app_label)s.view_%(model_name)s"]


class ModelPermissions(DjangoModelPermissions):
    """DRF's own lets everybody who is logged in read everything. What a view's action takes beside
    Django's four verbs, its `takes` says: the action's name, and the permission."""

    perms_map = {**DjangoModelPermissions.perms_map, "GET": _VIEW, "HEAD": _VIEW, "OPTIONS": _VIEW}

    def has_permission(self, request: Request, view: Any) -> bool:
        if not request.user or not request.user.is_authenticated:
            return False
        if getattr(view, "_ignore_model_permissions", False):
            return True
        missing = [one for one in self._needed(request, view) if not may(request.user, one)]
        self.message = f"It takes the permission {', '.join(missing)}." if missing else ""
        return not missing

    def _needed(self, request: Request, view: Any) -> list[str]:
        takes: dict[str, str] = getattr(view, "takes", {})
        action = getattr(view, "action", None)
        if action in takes:
            return [takes[action]]
        model = self._queryset(view).model
        return self.get_required_permissions(str(request.method), model)
