"""Acknowledge and close incidents by hand, and open and close those of failed logins."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from audit.action_log import Action, Actor, note
from audit.models import Incident, Trouble
from listeners.models import Listener
from listeners.salesforce.tokens.store import Trouble as TokenTrouble

_TROUBLES = {
    TokenTrouble.NOT_STORED: Trouble(
        Incident.Kind.LOGIN,
        TokenTrouble.NOT_STORED,
        "A new refresh token could not be stored: only one process has it, in memory.",
        "Restore the token store before that process ends. The token is then stored automatically.",
        action="That process keeps using the token and retries to store it.",
    ),
    TokenTrouble.CUT_OFF: Trouble(
        Incident.Kind.LOGIN,
        TokenTrouble.CUT_OFF,
        "A process ended during a token refresh: the stored refresh token may already be used up.",
        "If logins are refused now, authorize again and enter the new refresh token.",
        action="Logins continue with the stored refresh token.",
    ),
    TokenTrouble.REVOKED: Trouble(
        Incident.Kind.LOGIN,
        TokenTrouble.REVOKED,
        "Salesforce refused the refresh token: it was revoked or used up elsewhere.",
        "Authorize again and enter the new refresh token in the connection.",
        action="The refused token is not sent again; the listeners of the connection are stopped.",
    ),
}
_CLOSING_NOTE = "A later login succeeded, or its tokens were stored."


def acknowledge(incident: Incident, by: Actor, now: datetime) -> bool:
    """Acknowledge an incident; return False when it is closed or acknowledged already.

    Inside any transaction.
    """
    with transaction.atomic():
        if not Incident.objects.filter(pk=incident.pk).acknowledge(by.name, now):
            return False
        note(by, Action.ACKNOWLEDGE, incident)
    return True


def close(incident: Incident, by: Actor, reason: str, now: datetime) -> bool:
    """Close an incident; return False when it is closed already. Inside any transaction."""
    with transaction.atomic():
        if not Incident.objects.filter(pk=incident.pk).settle(now, by=by.name, note=reason):
            return False
        note(by, Action.CLOSE, incident, reason=reason)
    return True


def report_login(connection_id: int, trouble: TokenTrouble, *, is_open: bool, **_: Any) -> None:
    """Open or close the incident for each listener of the connection. One transaction.

    The receiver of `listeners.connections.login_attempts.login_trouble`.
    """
    shown = _TROUBLES[trouble]
    now = timezone.now()
    listeners = Listener.objects.filter(connection_id=connection_id)
    with transaction.atomic():
        for listener_id in listeners.values_list("pk", flat=True):
            if is_open:
                Incident.objects.report(listener_id, shown, now)
            else:
                Incident.objects.close(
                    listener_id, shown.kind, now, key=shown.key, note=_CLOSING_NOTE
                )
