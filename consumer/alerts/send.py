"""Send alerts about incidents by e-mail and webhook: one when it opens, one when it closes.

Several processes may run this at once: one of them claims an incident, by compare-and-swap on the
time when its alert is due. If that process dies, the alert is due again and may be sent twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import structlog
from django.db.models import F
from django.db.models.functions import Coalesce

from audit.models import Incident
from consumer.alerts.channels import Notice, NotSent, channels
from listeners.backoff import Backoff
from listeners.threads import for_each

log = structlog.get_logger(__name__)

#: The time to send an alert on every channel, before another process may claim it.
CLAIM = timedelta(minutes=2)
#: How long a process without channels leaves due alerts to other processes, which may have some.
LEFT_TO_OTHERS = timedelta(minutes=10)
#: Alerts sent in one round; the rest wait for the next.
MOST_AT_ONCE = 20
BACKOFF = Backoff(30.0, 3600.0, jitter=0.5)


def send_due(now: datetime) -> int:
    """Send the due alerts, and return how many were sent on every channel. Never inside a
    transaction.

    Without a configured channel, due alerts are dropped after LEFT_TO_OTHERS.
    """
    configured = channels()
    due = Incident.objects.filter(notify_due_at__lte=now)
    if not configured:
        due.filter(notify_due_at__lte=now - LEFT_TO_OTHERS).update(notify_due_at=None)
        return 0
    down, sent = set[str](), list[int]()

    def send(incident: Incident) -> None:
        if _claim(incident, now) and _send_everywhere(incident, configured, down, now):
            sent.append(incident.pk)

    first = due.select_related("listener").order_by("notify_due_at")[:MOST_AT_ONCE]
    for_each(first, send, name=lambda incident: f"incident {incident.pk}")
    return len(sent)


def _claim(incident: Incident, now: datetime) -> bool:
    as_seen = Incident.objects.filter(pk=incident.pk, notify_due_at=incident.notify_due_at)
    claimed = as_seen.update(notify_due_at=now + CLAIM, notify_attempts=F("notify_attempts") + 1)
    if not claimed:
        return False
    try:
        incident.refresh_from_db()
    except Incident.DoesNotExist:  # deleted with its listener
        return False
    return True


def _send_everywhere(
    incident: Incident,
    configured: Mapping[str, Callable[[Notice], None]],
    down: set[str],
    now: datetime,
) -> bool:
    """Send the alert on each channel that still lacks it, and return whether none does now.

    down   channels that failed in this round, which are skipped
    """
    notice = Notice.of(incident)
    sent = dict(incident.told)

    def send(channel: str) -> None:
        try:
            configured[channel](notice)
        except NotSent as error:
            log.warning("alert not sent", incident=notice.id, channel=channel, reason=str(error))
            down.add(channel)
        else:
            log.info("alert sent", incident=notice.id, channel=channel, state=notice.state)
            sent[channel] = notice.state

    lacking = [name for name in configured if sent.get(name) != notice.state and name not in down]
    try:
        for_each(lacking, send)
    finally:
        is_done = all(sent.get(channel) == notice.state for channel in configured)
        _store_outcome(incident, sent, now, is_done=is_done)
    return is_done


def _store_outcome(
    incident: Incident, sent: dict[str, str], now: datetime, *, is_done: bool
) -> None:
    """Store the outcome. An incident that was closed at the same time stays due at once."""
    mine = Incident.objects.filter(pk=incident.pk)
    if sent:
        mine.update(told=sent, notified_at=Coalesce("notified_at", now))
    due = None if is_done else now + timedelta(seconds=BACKOFF.delay(incident.notify_attempts))
    changes: dict[str, object] = {"notify_due_at": due}
    if is_done:
        changes["notify_attempts"] = 0
    mine.filter(notify_due_at=incident.notify_due_at).update(**changes)
