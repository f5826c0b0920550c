"""Write the action log. No other module writes it."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.http import HttpRequest
from django.utils import timezone

from audit.models import OperatorAction

Action = OperatorAction.Action
Through = OperatorAction.Through


@dataclass(frozen=True, slots=True)
class Actor:
    """A user or command that acts, and the interface it acts through."""

    name: str
    through: str
    user_id: int | None = None

    @classmethod
    def in_console(cls, request: HttpRequest) -> Actor:
        return cls(request.user.get_username(), Through.CONSOLE, request.user.pk)

    @classmethod
    def by_api(cls, request: Any) -> Actor:
        return cls(request.user.get_username(), Through.API, request.user.pk)

    @classmethod
    def at_the_shell(cls) -> Actor:
        try:
            return cls(getpass.getuser(), Through.COMMAND)
        except (KeyError, OSError):  # the user of a container may have no name
            return cls("unknown", Through.COMMAND)

    def __str__(self) -> str:
        return f"command: {self.name}" if self.through == Through.COMMAND else self.name


def note(
    by: Actor,
    action: str,
    about: models.Model | None = None,
    *,
    name: str = "",
    reason: str = "",
    details: dict[str, Any] | None = None,
) -> OperatorAction:
    """Add an action of `by` on the object `about` to the log; `name` names it instead of its text.

    Inside the caller's transaction, so that an action that is rolled back is not logged. `details`
    must not contain secrets.
    """
    return OperatorAction.objects.create(
        at=timezone.now(),
        user_id=by.user_id,
        who=by.name[:150],
        through=by.through,
        action=action,
        object_type=str(about._meta.model_name) if about is not None else "",
        object_id="" if about is None or about.pk is None else str(about.pk),
        object_name=_storable(name or ("" if about is None else str(about)))[:255],
        reason=_storable(reason),
        details=details or {},
    )


def note_change(by: Actor, about: models.Model, fields: Sequence[str], **details: Any) -> None:
    """Add an edit with the names of the changed fields. Inside the caller's transaction.

    A change of `enabled` is logged as a start or stop of its own.
    """
    switch = {"enabled", "Enabled"} & set(fields)
    if switch:
        note(by, Action.START if getattr(about, "enabled", False) else Action.STOP, about)
    others = [name for name in fields if name not in switch]
    if others or details:
        note(by, Action.CHANGE, about, details={**details, "fields": others})


def _storable(text: str) -> str:
    """Return the text in a form that every database accepts."""
    return text.replace("\0", "").encode(errors="backslashreplace").decode()
