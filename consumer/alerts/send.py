"""Incidents are told by e-mail and to a webhook: the opening once, and the closing once.

Several processes at once: one of them claims an incident, by compare-and-swap on the time when it
is due. Who dies in the middle leaves it due again: then it may be told twice.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from django.db.models import F
from django.db.models.functions import Coalesce

from audit.models import Incident
from consumer.alerts.channels import Channel, Notice, NotTold, channels
from listeners.salesforce.backoff import Backoff

log = structlog.get_logger(__name__)

#: Who claimed an incident has so long to tell it, on every channel.
CLAIM = timedelta(minutes=2)
#: A process without a channel leaves what is due to others, who may have one, for so long.
LEFT_TO_OTHERS = timedelta(minutes=10)
#: Told in one go: what is more waits for the next.
MOST_AT_ONCE = 20
BACKOFF = Backoff(30.0, 3600.0, jitter=0.5)


def tell_due(now: datetime) -> int:
    """Tell what is due; how many incidents were told everywhere. Never inside a transaction.

    With no channel configured, nothing is due for long.
    """
    configured = channels()
    due = Incident.objects.filter(notify_due_at__lte=now)
    if not configured:
        due.filter(notify_due_at__lte=now - LEFT_TO_OTHERS).update(notify_due_at=None)
        return 0
    told, down = 0, set[str]()
    for incident in due.select_related("listener").order_by("notify_due_at")[:MOST_AT_ONCE]:
        if _claim(incident, now):
            told += _tell(incident, configured, down, now)
    return told


def _claim(incident: Incident, now: datetime) -> bool:
    as_seen = Incident.objects.filter(pk=incident.pk, notify_due_at=incident.notify_due_at)
    claimed = as_seen.update(notify_due_at=now + CLAIM, notify_attempts=F("notify_attempts") + 1)
    if not claimed:
        return False
    try:
        incident.refresh_from_db()
    except Incident.DoesNotExist:  # it went with its listener
        return False
    return True


def _tell(incident: Incident, configured: list[Channel], down: set[str], now: datetime) -> bool:
    """Tell each channel that does not know it yet; whether all do.

    `down`: channels that did not take something just now. They are not asked again.
    """
    notice = Notice.of(incident)
    told = dict(incident.told)
    for channel in configured:
        if told.get(channel.name) == notice.state or channel.name in down:
            continue
        if _send(channel, notice):
            told[channel.name] = notice.state
        else:
            down.add(channel.name)
    is_done = all(told.get(channel.name) == notice.state for channel in configured)
    _settle(incident, told, now, is_done=is_done)
    return is_done


def _send(channel: Channel, notice: Notice) -> bool:
    try:
        channel.send(notice)
    except NotTold as error:
        log.warning("incident not told", incident=notice.id, channel=channel.name,
                    reason=str(error))  # fmt: skip
        return False
    log.info("incident told", incident=notice.id, channel=channel.name, state=notice.state)
    return True


def _settle(incident: Incident, told: dict[str, str], now: datetime, *, is_done: bool) -> None:
    """Unless it was closed meanwhile: then that is due at once, and stays so."""
    mine = Incident.objects.filter(pk=incident.pk)
    if told:
        mine.update(told=told, notified_at=Coalesce("notified_at", now))
    due = None if is_done else now + timedelta(seconds=BACKOFF.delay(incident.notify_attempts))
    changes: dict[str, object] = {"notify_due_at": due}
    if is_done:
        changes["notify_attempts"] = 0
    mine.filter(notify_due_at=incident.notify_due_at).update(**changes)
