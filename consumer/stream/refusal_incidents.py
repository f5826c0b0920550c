"""Incidents for a listener that repeatedly fails to receive: quota, refusals, silence."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import transaction

from audit.db.retry import suppress_transient_errors
from audit.models import Incident, Trouble
from listeners.listener_state import runway
from listeners.models import Listener, Position
from listeners.salesforce.errors import Reaction, SalesforceError, TransportFailed

log = structlog.get_logger(__name__)

Kind = Incident.Kind

#: An incident is opened after so many refusals in a row, or when refusals last so many seconds.
BACK_OFFS = 3
BACK_OFF_SECONDS = 300.0
#: An incident is opened after so many silences within so many seconds.
STALLS = 3
STALL_SECONDS = 3600.0


_UNCONFIRMED = Trouble(
    Kind.CONFIGURATION,
    "replay",
    "The handshake response does not confirm replay: this server may ignore stored positions.",
    "Check that Salesforce answers, and not a proxy or another base URL, and that the API version "
    "supports durable streams. After an interruption, run manage.py reconcile_cdc.",
    action="The listener keeps receiving. Changes committed while it is disconnected may be lost.",
    lasts=True,
)


class Refusals:
    """Counts refusals and silences of one listener. For use by one thread.

    While the database is not available no incident is opened; the next refusal opens it.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._back_offs = 0
        self._backing_off_since = 0.0
        self._stalls: deque[float] = deque(maxlen=100)
        #: Whether incidents may be open, also from an earlier process.
        self._may_be_open = True

    def note(self, error: SalesforceError, now: datetime) -> None:
        """Note the error that ended a session or an attempt. Never inside a transaction."""
        if error.reaction is Reaction.BACK_OFF_LONG:
            self._note_back_off(error, now)
        else:
            self._back_offs = 0
        if error.reaction is Reaction.QUOTA:
            self._report(lambda: self._quota(error, now), now)
        if isinstance(error, TransportFailed) and error.is_silence:
            self._note_stall(error, now)

    def opened(self, has_replay: bool, now: datetime) -> None:
        """Note that a session was opened. Never inside a transaction."""
        if not has_replay:
            log.warning("replay not confirmed by the server", listener=self._listener.name)
            self._report(lambda: _UNCONFIRMED, now)
            return
        note = "Replay is confirmed."
        self._close(Kind.CONFIGURATION, _UNCONFIRMED.key, note, now)

    def received(self, now: datetime) -> None:
        """Note that Salesforce answered a poll. Never inside a transaction."""
        self._back_offs = 0
        if not self._may_be_open:
            return
        note = f"Receiving again since {now:%Y-%m-%d %H:%M} UTC."
        closed = [self._close(kind, "", note, now) for kind in (Kind.QUOTA, Kind.BACK_OFF)]
        self._may_be_open = not all(closed)

    def _note_back_off(self, error: SalesforceError, now: datetime) -> None:
        if not self._back_offs:
            self._backing_off_since = time.monotonic()
        self._back_offs += 1
        lasted = time.monotonic() - self._backing_off_since
        if self._back_offs >= BACK_OFFS or lasted > BACK_OFF_SECONDS:
            self._report(lambda: self._back_off(error), now)

    def _note_stall(self, error: SalesforceError, now: datetime) -> None:
        self._stalls.append(time.monotonic())
        recent = [at for at in self._stalls if time.monotonic() - at < STALL_SECONDS]
        if len(recent) >= STALLS:
            first = now - timedelta(seconds=time.monotonic() - recent[0])
            self._report(lambda: _stall(len(recent), first, now, error), now)

    def _report(self, make: Callable[[], Trouble], now: datetime) -> None:
        self._may_be_open = True
        with suppress_transient_errors("open an incident"), transaction.atomic():
            Incident.objects.report(self._listener.pk, make(), now)

    def _close(self, kind: Incident.Kind, key: str, note: str, now: datetime) -> bool:
        """Close an incident; return whether the database was available."""
        is_answered = False
        with suppress_transient_errors("close an incident"):
            Incident.objects.close(self._listener.pk, kind, now, key=key, note=note)
            is_answered = True
        return is_answered

    def _quota(self, error: SalesforceError, now: datetime) -> Trouble:
        seconds = settings.CDC_QUOTA_PROBE
        interval = f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:g} s"
        return Trouble(
            Kind.QUOTA,
            "",
            f"The org's daily limit is used up: Salesforce delivers no events. {error}",
            "Stop subscribers that are not needed, or buy a higher limit. Events still expire "
            f"after 72 hours. {self._expiry(now)}".strip(),
            action=f"The listener waits, and checks about every {interval} whether the limit is "
            "available again.",
            lasts=True,
        )

    def _expiry(self, now: datetime) -> str:
        position = Position.objects.filter(listener=self._listener).first()
        left = runway(position, now) if position else None
        if left is None:
            return ""
        return f"The stored position can be resumed until {now + left:%Y-%m-%d %H:%M} UTC."

    def _back_off(self, error: SalesforceError) -> Trouble:
        low, high = settings.CDC_LONG_BACKOFF
        return Trouble(
            Kind.BACK_OFF,
            "",
            f"Salesforce refused the listener {self._back_offs} times in a row: {error}",
            "If this continues, check how many clients are connected to the org, and Salesforce's "
            "status page.",
            action=f"The listener retries after {low:g} to {high:g} s, from the stored position.",
            lasts=True,
        )


def _stall(count: int, first: datetime, now: datetime, error: SalesforceError) -> Trouble:
    return Trouble(
        Kind.STALL,
        "",
        f"The stream fell silent {count} times since {first:%H:%M} UTC, most recently at "
        f"{now:%Y-%m-%d %H:%M:%S} UTC: {error}",
        "A proxy or firewall probably drops long requests. Raise its limit, or set "
        "keep_alive_interval below it.",
        min(first, now),
        now,
        action="The listener reconnected each time, from the stored position.",
        lasts=True,
    )
