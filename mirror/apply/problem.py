"""The problem of a mirror whose rows cannot be written, or whose upkeep fails, which its status
shows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from django.db import DatabaseError

from audit.db.retry import describe
from handlers.sdk.outcomes import storable
from listeners.salesforce.errors import Reaction, SalesforceError
from mirror.db_remedy import remedy_of
from mirror.models import Mirror

_WRITING = "Rows cannot be written"
_OTHERWISE = "Check the database"
_UPKEEP = "The upkeep failed"
#: Parts of the messages of errors that another try at once mends.
_PASSING = ("deadlock detected", "database is locked", "could not serialize")


def note_writing(mirror: Mirror, error: Exception) -> None:
    """Show that rows cannot be written, and why, unless the next try will write them. Never inside
    a transaction."""
    reason = describe(error).rstrip(".")
    if _is_passing(reason):
        return
    remedy = remedy_of(reason) or _OTHERWISE
    text = f"{_WRITING} to the database {mirror.database!r}: {reason}. {remedy}; the "
    text = storable(f"{text}changes are applied as soon as it takes them.")
    with suppress(DatabaseError):  # the default database may be the one that is full
        Mirror.objects.filter(pk=mirror.pk).exclude(problem=text).update(problem=text)


def clear_writing(mirror: Mirror) -> None:
    """Remove that problem once rows were written. Inside any transaction."""
    if mirror.problem.startswith(_WRITING):
        Mirror.objects.filter(pk=mirror.pk, problem=mirror.problem).update(problem="")


def note_upkeep(mirror: Mirror, errors: Sequence[Exception]) -> None:
    """Show an error that ended a step of the upkeep, unless Salesforce or a database may answer
    soon; without any error, remove what was shown. Inside any transaction."""
    is_shown = mirror.problem.startswith(_UPKEEP)
    mine = Mirror.objects.filter(pk=mirror.pk, problem=mirror.problem if is_shown else "")
    lasting = next((describe(error) for error in errors if _is_lasting(error)), "")
    if lasting:
        mine.update(problem=storable(f"{_UPKEEP}, and is tried again: {lasting}"))
    elif is_shown and not errors:
        mine.update(problem="")


def _is_lasting(error: Exception) -> bool:
    if isinstance(error, SalesforceError):
        return error.reaction is Reaction.CONFIGURATION
    return not _is_passing(str(error))


def _is_passing(reason: str) -> bool:
    return any(part in reason.lower() for part in _PASSING)
