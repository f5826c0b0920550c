"""Which entities a listener's channel brings, as far as is known here."""

from __future__ import annotations

from collections.abc import Iterator

from audit.models import AuditLogEntry
from listeners.models import Listener
from listeners.salesforce.channel import entity_of

ANY = "*"


def entities_of(listener: Listener) -> list[str]:
    """The channel's own entity; of a channel with several, those that the listener's mappings name
    and those that it has recorded changes of. Sorted."""
    single = entity_of(listener.channel)
    if single is not None:
        return [single]
    mapped = listener.mappings.exclude(entity=ANY).values_list("entity", flat=True)
    recorded = (name for name in _recorded() if _has_recorded(listener, name))
    return sorted({*mapped, *recorded})


def _recorded() -> Iterator[str]:
    """The entities of the whole log, one step of the index for each."""
    last = ""
    names = AuditLogEntry.objects.order_by("entity_name").values_list("entity_name", flat=True)
    while (name := names.filter(entity_name__gt=last).first()) is not None:
        yield name
        last = name


def _has_recorded(listener: Listener, entity: str) -> bool:
    return AuditLogEntry.objects.filter(listener=listener, entity_name=entity).exists()
