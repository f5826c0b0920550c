"""The quarantine: keeps unreadable events and responses raw, with an incident."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from audit.models import Incident, Quarantined
from consumer import incidents
from handlers.sdk.outcomes import storable
from listeners.models import Listener

#: Limits for malformed responses, whose events come again: the number kept for each listener, and
#: the characters kept of each. A proxy's error pages must not fill the disk. Events have no limit.
MOST_ANSWERS = 100
ANSWER_HEAD = 64 * 1024


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An event or response that could not be decoded or stored. `replay_id` is empty if unknown;
    `is_answer` marks a whole response."""

    raw: str
    error: str
    replay_id: str
    received_at: datetime
    is_answer: bool = False


def keep(listener: Listener, unreadable: Unreadable) -> int:
    """Store the raw text unless the same text is stored already; return how many rows were added.

    Inside the caller's transaction, which holds the listener's position. A response is counted on
    the incident each time; an event that comes again is not.
    """
    raw = unreadable.raw.replace("\0", "\\u0000").encode(errors="backslashreplace").decode()
    digest = hashlib.sha256(raw.encode()).hexdigest()
    mine = Quarantined.objects.filter(listener=listener)
    is_new = not mine.filter(digest=digest).exists()
    if is_new or unreadable.is_answer:
        kind = Incident.Kind.MALFORMED_ANSWER if unreadable.is_answer else Incident.Kind.UNDECODABLE
        trouble = incidents.unreadable(kind)
        Incident.objects.report(listener.pk, trouble, unreadable.received_at)
    if not is_new:
        return 0
    if unreadable.is_answer:
        _make_room(listener)
    Quarantined.objects.create(
        listener=listener,
        channel=listener.channel,
        replay_id=unreadable.replay_id[:255],
        raw=raw[:ANSWER_HEAD] if unreadable.is_answer else raw,
        digest=digest,
        error=storable(unreadable.error),
        received_at=unreadable.received_at,
        is_answer=unreadable.is_answer,
    )
    return 1


def _make_room(listener: Listener) -> None:
    answers = Quarantined.objects.filter(listener=listener, is_answer=True).order_by("-id")
    older = answers.values_list("pk", flat=True)[MOST_ANSWERS - 1 :]
    Quarantined.objects.filter(pk__in=list(older)).delete()
