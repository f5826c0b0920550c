"""The problem of a mirror whose rows cannot be written, which its status shows."""

from __future__ import annotations

from contextlib import suppress

from django.db import DatabaseError

from audit.db.retry import describe
from handlers.sdk.outcomes import storable
from mirror.db_remedy import remedy_of
from mirror.models import Mirror

_WRITING = "Rows cannot be written"
_OTHERWISE = "Check the database"


def note_writing(mirror: Mirror, error: Exception) -> None:
    """Show that rows cannot be written, and why. Never inside a transaction."""
    reason = describe(error).rstrip(".")
    remedy = remedy_of(reason) or _OTHERWISE
    text = f"{_WRITING} to the database {mirror.database!r}: {reason}. {remedy}; the "
    text = storable(f"{text}changes are applied as soon as it takes them.")
    with suppress(DatabaseError):  # the default database may be the one that is full
        Mirror.objects.filter(pk=mirror.pk).exclude(problem=text).update(problem=text)


def clear_writing(mirror: Mirror) -> None:
    """Remove that problem once rows were written. Inside any transaction."""
    if mirror.problem.startswith(_WRITING):
        Mirror.objects.filter(pk=mirror.pk, problem=mirror.problem).update(problem="")
