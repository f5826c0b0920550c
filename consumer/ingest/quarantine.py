"""What could not be read is kept as it came, with an incident."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from audit.models import Incident, Quarantined
from consumer import incidents
from handlers.sdk.outcomes import storable
from listeners.models import Listener

#: Of whole answers, whose events come again, the newest so many are kept for a listener, and so
#: many characters of each: a proxy's ever different pages must not fill the disk. Events are kept
#: always, and whole.
MOST_ANSWERS = 100
ANSWER_HEAD = 64 * 1024


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What could not be decoded or stored: its raw text, the reason, its replay id if known."""

    raw: str
    error: str
    replay_id: str
    received_at: datetime
    is_answer: bool = False

    @property
    def kind(self) -> Incident.Kind:
        return Incident.Kind.MALFORMED_ANSWER if self.is_answer else Incident.Kind.UNDECODABLE


def keep(listener: Listener, unreadable: Unreadable) -> int:
    """Keep it raw unless the same text was kept before; how many were kept.

    Inside the caller's transaction, which holds the listener's position. An answer is counted on
    the incident each time; an event that comes again is not.
    """
    raw = unreadable.raw.replace("\0", "\\u0000").encode(errors="backslashreplace").decode()
    digest = hashlib.sha256(raw.encode()).hexdigest()
    mine = Quarantined.objects.filter(listener=listener)
    is_new = not mine.filter(digest=digest).exists()
    if is_new or unreadable.is_answer:
        trouble = incidents.unreadable(unreadable.kind)
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
