"""Explains differences whose events arrive after the verification that found them.

Salesforce may publish a change minutes after its commit, while the stream looks idle. A
verification in between finds a difference that nothing explains, and repairs it. Once the event is
in the audit log, the difference gets the reason LATE_EVENT; the incident closes when no difference
is left without an explanation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from audit.models import AuditLogEntry, Incident
from listeners.salesforce.rest.records import long_id
from mirror.apply.guard import read_time
from mirror.models import Difference, Mirror
from mirror.schema.compounds import flat
from mirror.verify.comparison import ON_ITS_WAY
from mirror.verify.session import MOST_STORED, UNEXPLAINED

_UPDATE = "UPDATE"
_ROWS = 500
_SHORT = 15
_CLOSED = "The events of the changes arrived after the verification."


def explain(now: datetime) -> int:
    """Explain the differences of open incidents; return how many. Never inside a transaction."""
    explained = 0
    opened = Incident.objects.opened().filter(kind=Incident.Kind.MIRROR_DIFFERS)
    for incident in opened.exclude(window_start=None):
        mirrors = Mirror.objects.filter(model=incident.key, listener=incident.listener_id)
        for mirror in mirrors:
            explained += _explain(mirror, incident, now)
    return explained


def _explain(mirror: Mirror, incident: Incident, now: datetime) -> int:
    found = mirror.differences.filter(found_at__gte=incident.window_start)
    left = found.filter(reason__in=UNEXPLAINED)
    late: list[int] = []
    last = 0
    while page := list(left.filter(pk__gt=last).order_by("pk")[:_ROWS]):
        late += _late(mirror, page)
        last = page[-1].pk
    if not late:
        return 0
    with transaction.atomic(durable=True):
        for start in range(0, len(late), _ROWS):
            part = left.filter(pk__in=late[start : start + _ROWS])
            part.update(reason=Difference.Reason.LATE_EVENT)
        is_open = left.exists() or mirror.differences.filter(repaired_at=None).exists()
        if not is_open and found.count() < MOST_STORED:
            same = Incident.objects.filter(pk=incident.pk, last_seen_at=incident.last_seen_at)
            same.settle(now, note=_CLOSED)
    return len(late)


def _late(mirror: Mirror, differences: Sequence[Difference]) -> Iterator[int]:
    """Yield the differences that a change explains which was committed before they were found, and
    recorded afterwards."""
    ids = {one.record_id for one in differences}
    entries = AuditLogEntry.objects.filter(
        listener=mirror.listener_id,
        entity_name=mirror.salesforce_object,
        record_id__in=[*ids, *(one[:_SHORT] for one in ids)],
        source=AuditLogEntry.Source.STREAM,
        received_at__gt=min(one.found_at for one in differences),
    )
    by_record: dict[str, list[AuditLogEntry]] = {}
    for entry in entries:
        by_record.setdefault(long_id(entry.record_id), []).append(entry)
    for one in differences:
        if any(_explains(mirror, entry, one) for entry in by_record.get(one.record_id, ())):
            yield one.pk


def _explains(mirror: Mirror, entry: AuditLogEntry, difference: Difference) -> bool:
    committed = read_time(entry.commit_timestamp)
    if not committed + ON_ITS_WAY <= difference.found_at < entry.received_at:
        return False
    return entry.change_type != _UPDATE or difference.field in _fields(mirror, entry)


def _fields(mirror: Mirror, entry: AuditLogEntry) -> set[str]:
    """Return the names of the fields that an update changed, of compound ones their components."""
    body: dict[str, Any] = entry.changed_data
    names: Iterable[str] = mirror.described
    parts = (
        part
        for name, value in body.items()
        for part, _ in flat([*names], body, name, value, is_whole=False)
    )
    return {*body, *parts, *(entry.nulled_fields or ())}
