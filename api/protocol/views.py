"""What the resources have in common."""

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
    """What the body of a request says. Raises ValidationError."""
    serializer = kind(data=request.data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


class Reached(GenericViewSet[M]):
    """Who was granted some rows only, sees no others. `api.protocol.permissions` says which."""

    lookup_value_regex = "[0-9]+"
    #: From a row to the id of its listener or connection; empty: rows cannot be granted singly.
    owner = ""
    owner_model: type[models.Model] = Listener
    #: Ids of those; None: all of them.
    sees: frozenset[int] | None = None
    acts_on: frozenset[int] | None = None

    def get_queryset(self) -> QuerySet[M]:
        rows = super().get_queryset()
        return rows if self.sees is None else rows.filter(**{f"{self.owner}__in": self.sees})

    def shown(self) -> Response:
        """The row as it is now, after an action."""
        return Response(self.get_serializer(self.get_object()).data)


class ReadViewSet(Tagged, Reached[M], ReadOnlyModelViewSet[M]):
    """What was recorded."""


class SettingsViewSet(Tagged, Reached[M], ModelViewSet[M]):
    """What an operator sets: each change in one transaction, checked against the row it changes."""

    def get_queryset(self) -> QuerySet[M]:
        rows = super().get_queryset()
        if self.action in _CHANGES:
            # Against other writers, and not against changes that are being recorded.
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
    """One transaction. What the database itself refuses, another change has brought about."""
    try:
        with transaction.atomic():
            yield
    except (IntegrityError, ProtectedError):
        raise Conflict from None


class NowhereView(APIView):
    """An address under /api/ where nothing is: a problem in JSON, and not a page."""

    authentication_classes = ()
    permission_classes = ()
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise NotFound("There is nothing at this address.")
