"""Permissions of the API: Django's model permissions, including the one to view, permissions of
actions, and grants for single listeners and connections."""

from __future__ import annotations

from functools import reduce
from typing import Any

from rest_framework.permissions import DjangoModelPermissions
from rest_framework.request import Request

from listeners.access.object_grants import reached
from listeners.access.permissions import may

_VIEW = ["%(app_label)s.view_%(model_name)s"]


class ModelPermissions(DjangoModelPermissions):
    """Django's model permissions; unlike DRF's class, reading requires the view permission.

    A view's `takes` maps further actions to permissions. For a user with grants on single rows, the
    view's `acts_on` and `sees` are set to the ids of these rows.
    """

    perms_map = {**DjangoModelPermissions.perms_map, "GET": _VIEW, "HEAD": _VIEW, "OPTIONS": _VIEW}

    def has_permission(self, request: Request, view: Any) -> bool:
        if not request.user or not request.user.is_authenticated:
            return False
        if getattr(view, "_ignore_model_permissions", False):
            return True
        missing = [name for name in self._needed(request, view) if not may(request.user, name)]
        self.message = f"This requires the permission {', '.join(missing)}." if missing else ""
        return not missing or self._is_granted_some(request, view, missing)

    def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        acts_on = getattr(view, "acts_on", None)
        return acts_on is None or reduce(getattr, view.owner.split("__"), obj) in acts_on

    def _is_granted_some(self, request: Request, view: Any, missing: list[str]) -> bool:
        if not getattr(view, "owner", ""):
            return False
        view.acts_on = view.sees = reached(request.user, view.owner_model, missing)
        to_view = self.get_required_permissions("GET", self._queryset(view).model)
        if to_view != missing:
            seen = all(may(request.user, name) for name in to_view)
            beside = () if seen else reached(request.user, view.owner_model, to_view)
            view.sees = None if seen else view.acts_on.union(beside)
        return bool(view.acts_on)

    def _needed(self, request: Request, view: Any) -> list[str]:
        takes: dict[str, str] = getattr(view, "takes", {})
        action = getattr(view, "action", None)
        if action in takes:
            return [takes[action]]
        model = self._queryset(view).model
        return self.get_required_permissions(str(request.method), model)
