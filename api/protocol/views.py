"""Base classes of the resources' views."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import IntegrityError, models, transaction
from django.db.models import ProtectedError, QuerySet
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet, ModelViewSet, ReadOnlyModelViewSet

from api.protocol.etags import Tagged, check_unchanged, revision
from api.protocol.problems import Conflict
from audit.action_log import Action, Actor, note, note_change
from listeners.models import Listener

M = TypeVar("M", bound=models.Model)


def asked(kind: type[Serializer[Any]], request: Request) -> dict[str, Any]:
    """Return the validated body of a request. Raises ValidationError."""
    serializer = kind(data=request.data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


class Reached(GenericViewSet[M]):
    """Limits a user to the rows that were granted to them; see `api.protocol.permissions`."""

    lookup_value_regex = "[0-9]+"
    #: The lookup of a row's listener or connection id; empty: no grants on single rows.
    owner = ""
    owner_model: type[models.Model] = Listener
    #: The ids of listeners or connections that the user may view or change; None: all.
    sees: frozenset[int] | None = None
    acts_on: frozenset[int] | None = None

    def get_queryset(self) -> QuerySet[M]:
        rows = super().get_queryset()
        return rows if self.sees is None else rows.filter(**{f"{self.owner}__in": self.sees})

    def shown(self) -> Response:
        """Return the current row, as the response of an action."""
        return Response(self.get_serializer(self.get_object()).data)


class ReadViewSet(Tagged, Reached[M], ReadOnlyModelViewSet[M]):
    """Rows that were recorded, and cannot be changed."""


class SettingsViewSet(Tagged, Reached[M], ModelViewSet[M]):
    """Rows of settings. Each change is one transaction that locks the row and checks its ETag."""

    def get_queryset(self) -> QuerySet[M]:
        rows = super().get_queryset()
        if self.action in _CHANGES:
            # no_key: other writers are excluded, but not the recording of changes.
            return rows.select_for_update(of=("self",), no_key=True)
        return rows

    def get_object(self) -> M:
        row = super().get_object()
        if self.action in _CHANGES:
            check_unchanged(self.request, row)
        elif self.action == "retrieve":
            self.revision = revision(row)
        return row

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        with _change():
            return super().create(request, *args, **kwargs)

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        with _change():
            return super().update(request, *args, **kwargs)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        with _change():
            return super().destroy(request, *args, **kwargs)

    def perform_create(self, serializer: Any) -> None:
        row = serializer.save()
        note(Actor.by_api(self.request), Action.ADD, row)
        self.revision = revision(row)

    def perform_update(self, serializer: Any) -> None:
        row = serializer.save()
        if serializer.changed:
            note_change(Actor.by_api(self.request), row, serializer.changed)
        self.revision = revision(row)

    def perform_destroy(self, instance: M) -> None:
        note(Actor.by_api(self.request), Action.DELETE, instance)
        instance.delete()


_CHANGES = ("update", "partial_update", "destroy")


@contextmanager
def _change() -> Iterator[None]:
    """Run the block in a transaction; raise Conflict if a concurrent change breaks a constraint."""
    try:
        with transaction.atomic():
            yield
    except (IntegrityError, ProtectedError):
        raise Conflict from None


class NowhereView(APIView):
    """Answers unknown URLs under /api/ with a problem instead of a page."""

    authentication_classes = ()
    permission_classes = ()
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise NotFound("There is no resource at this URL.")
