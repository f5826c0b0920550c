"""What keeps a listener from receiving again and again, as incidents: kept by its receiver."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import transaction

from audit.db.retry import suppress_transient_errors
from audit.models import Incident
from audit.models.entry_queryset import Trouble
from listeners.listener_state import runway
from listeners.models import Listener, Position
from listeners.salesforce.errors import Reaction, SalesforceError, TransportFailed

log = structlog.get_logger(__name__)

Kind = Incident.Kind

#: In a row, or lasting for so many seconds: then Salesforce does not only ask to wait a little.
BACK_OFFS = 3
BACK_OFF_SECONDS = 300.0
#: Within so many seconds: then it is not one lost connection.
STALLS = 3
STALL_SECONDS = 3600.0


_UNCONFIRMED = Trouble(
    Kind.CONFIGURATION,
    "replay",
    "The handshake's answer does not confirm replay: positions may mean nothing to this server.",
    "See what answers instead of Salesforce (a proxy, another base URL), or whether the API "
    "version serves durable streams. After an interruption compare with manage.py reconcile_cdc.",
    action="The listener goes on. What is committed while it is away may not come again.",
    lasts=True,
)


class Refusals:
    """Counts refusals and silences of one listener. One thread.

    While the database does not answer, an incident comes with the next refusal.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._back_offs = 0
        self._backing_off_since = 0.0
        self._stalls: deque[float] = deque(maxlen=100)
        #: Whether incidents may be open; those of an earlier process too.
        self._may_be_open = True

    def note(self, error: SalesforceError, now: datetime) -> None:
        """A session or an attempt ended so. Never inside a transaction."""
        if error.reaction is Reaction.BACK_OFF_LONG:
            self._note_back_off(error, now)
        else:
            self._back_offs = 0
        if error.reaction is Reaction.QUOTA:
            self._report(lambda: self._quota(error, now), now)
        if isinstance(error, TransportFailed) and error.is_silence:
            self._note_stall(error, now)

    def opened(self, has_replay: bool, now: datetime) -> None:
        """A session was opened. Never inside a transaction."""
        if not has_replay:
            log.warning("replay is not confirmed", listener=self._listener.name)
            self._report(lambda: _UNCONFIRMED, now)
            return
        note = "Replay is confirmed."
        self._close(Kind.CONFIGURATION, _UNCONFIRMED.key, note, now)

    def received(self, now: datetime) -> None:
        """Salesforce answered a poll. Never inside a transaction."""
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
        """Whether the database answered."""
        is_answered = False
        with suppress_transient_errors("close an incident"):
            Incident.objects.close(self._listener.pk, kind, now, key=key, note=note)
            is_answered = True
        return is_answered

    def _quota(self, error: SalesforceError, now: datetime) -> Trouble:
        every = settings.CDC_QUOTA_PROBE
        often = f"{every / 60:.0f} min" if every >= 60 else f"{every:g} s"
        return Trouble(
            Kind.QUOTA,
            "",
            f"The org's daily limit is used up: nothing is delivered. {error}",
            "Stop subscribers that nobody needs, or buy more. Events age out after 72 hours all "
            f"the same. {self._left(now)}".strip(),
            action=f"It stays off, and asks about every {often} whether the limit has freed up.",
            lasts=True,
        )

    def _left(self, now: datetime) -> str:
        position = Position.objects.filter(listener=self._listener).first()
        left = runway(position, now) if position else None
        if left is None:
            return ""
        return f"The stored position is good until {now + left:%Y-%m-%d %H:%M} UTC."

    def _back_off(self, error: SalesforceError) -> Trouble:
        low, high = settings.CDC_LONG_BACKOFF
        return Trouble(
            Kind.BACK_OFF,
            "",
            f"Salesforce turns the listener away, {self._back_offs} times in a row: {error}",
            "If it lasts, see how many clients are connected to the org, and Salesforce's status "
            "page.",
            action=f"It tries again after {low:g} to {high:g} s, from the stored position.",
            lasts=True,
        )


def _stall(count: int, first: datetime, now: datetime, error: SalesforceError) -> Trouble:
    return Trouble(
        Kind.STALL,
        "",
        f"The stream fell silent {count} times since {first:%H:%M} UTC, at last at "
        f"{now:%Y-%m-%d %H:%M:%S} UTC: {error}",
        "Something on the way, such as a proxy or a firewall, drops long requests: look there, or "
        "set keep_alive_interval below its limit.",
        min(first, now),
        now,
        action="Each time the connection was torn down and opened again from the stored position.",
        lasts=True,
    )
