"""Record new entries in the audit log, and find the listeners that have some."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Any

from django.db import IntegrityError, transaction

from audit.db.bulk_insert import insert, no_op
from audit.db.prepared import Param, Prepared
from audit.models import AuditLogEntry, Quarantined
from listeners.models import Listener, Position

#: The most entries whose lookup takes no longer than a savepoint.
LOOKUP_ROWS = 20


def record(
    entries: Sequence[AuditLogEntry],
    while_writing: Callable[[], None] = no_op,
    *,
    expect_repeats: bool = True,
) -> list[AuditLogEntry]:
    """Insert the entries of one listener that are not recorded yet, in order; return the inserted.

    Inside the caller's transaction, which has locked the listener's position, so that no other
    process adds entries. `while_writing`: see `insert`. `expect_repeats`: look up the entries
    before inserting them. Otherwise more than LOOKUP_ROWS are looked up only after a unique
    constraint has refused them.
    """
    if expect_repeats or len(entries) <= LOOKUP_ROWS:
        return _insert_new(_known(entries), entries, while_writing)
    with suppress(IntegrityError), transaction.atomic():
        return _insert_new(set(), entries, while_writing)
    # The refused insert may have set ids, and nothing has these ids now.
    for entry in entries:
        entry.pk = None
    return _insert_new(_known(entries), entries, while_writing)


#: The fields that identify a change, among those of one listener.
_IDENTITY = ("transaction_key", "sequence_number", "entity_name", "record_id", "change_type")
_identity = attrgetter(*_IDENTITY)
_IDENTITIES = Prepared(
    lambda: (
        AuditLogEntry.objects.order_by()
        .filter(listener_id=Param("listener_id"), transaction_key__among=Param("keys"))
        .values_list(*_IDENTITY)
    )
)
Identity = tuple[Any, ...]


def _insert_new(
    known: set[Identity], entries: Sequence[AuditLogEntry], while_writing: Callable[[], None]
) -> list[AuditLogEntry]:
    """Insert each entry once, except the known ones."""
    new: list[AuditLogEntry] = []
    for entry in entries:
        identity = _identity(entry)
        if identity not in known:
            known.add(identity)
            new.append(entry)
    insert(new, while_writing)
    return new


def _known(entries: Sequence[AuditLogEntry]) -> set[Identity]:
    """Return the recorded identities of the entries' transactions."""
    if not entries:
        return set()
    keys = {entry.transaction_key for entry in entries}
    return set(_IDENTITIES.rows(listener_id=entries[0].listener_id, keys=list(keys)))


def with_history(listeners: Iterable[Listener]) -> list[Listener]:
    """Return the listeners that must not be deleted: with entries or quarantined messages.

    Inside the caller's transaction: it locks the positions, so that nothing is recorded for these
    listeners until that transaction ends.
    """
    candidates = list(listeners)
    with transaction.atomic():
        Position.objects.filter(listener__in=candidates).lock()
        return [listener for listener in candidates if _has_history(listener)]


def _has_history(listener: Listener) -> bool:
    # Django's own check of protected rows would read all of them.
    entries = AuditLogEntry.objects.filter(listener=listener)
    return entries.exists() or Quarantined.objects.filter(listener=listener).exists()
