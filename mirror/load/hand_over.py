"""The hand-over from the stream to a load: the stream is subscribed first, so that no change falls
between the two.

A change that was recorded before the mirror's mappings existed was committed before, so the load,
which begins later, reads it. Every later change is recorded with a delivery to the mirror, as long
as the listener continues from its stored position. So a load may begin once the listener has a
position and receives; it never needs to hold the position.
"""

from __future__ import annotations

from django.db.models.functions import Now

from listeners.models import Listener, Position
from listeners.salesforce.events import PRESETS

_TIP, _EARLIEST = PRESETS


def waiting_for(listener: Listener) -> str:
    """Return why a load of the listener's mirrors cannot begin yet, or an empty text."""
    name = f"listener {listener}"
    if not listener.enabled:
        return f"{name}, which is disabled"
    position = Position.objects.filter(pk=listener.pk).first()
    if position is None:
        return f"{name}, which no process runs: start manage.py run_cdc_listener"
    if position.state == Position.State.FAILED:
        return f"{name}, which stopped: {position.reason}"
    receives = Position.objects.filter(
        pk=listener.pk, state=Position.State.RECEIVING, lease_until__gt=Now()
    )
    if not receives.exists():
        return f"{name}, which does not receive yet"
    if not _has_position(position, listener):
        return f"{name}, whose position is not stored yet"
    return ""


def _has_position(position: Position, listener: Listener) -> bool:
    """Return whether a restart of the listener would continue from where it is now, or before."""
    if position.replay_id not in ("", _TIP) or position.tip_since is not None:
        return True
    return position.replay_id == "" and listener.first_replay == _EARLIEST
