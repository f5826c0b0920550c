"""Troubles of a connection's logins, as incidents of each of its listeners."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from audit.models import Incident
from audit.models.entry_queryset import Trouble as Shown
from listeners.models import Listener
from listeners.salesforce.tokens.store import Trouble

_SHOWN = {
    Trouble.NOT_STORED: Shown(
        Incident.Kind.LOGIN,
        Trouble.NOT_STORED,
        "A new refresh token could not be stored: it is in the memory of one process only.",
        "Bring the token store back before that process ends: it is stored then by itself.",
        action="That process goes on with it, and tries to store it.",
    ),
    Trouble.CUT_OFF: Shown(
        Incident.Kind.LOGIN,
        Trouble.CUT_OFF,
        "A process ended in the middle of a token refresh: the stored refresh token may be spent.",
        "If logins are refused now, authorize again and enter the new refresh token.",
        action="Logins go on with the stored one.",
    ),
    Trouble.REVOKED: Shown(
        Incident.Kind.LOGIN,
        Trouble.REVOKED,
        "Salesforce refused the refresh token: it was revoked or used up elsewhere.",
        "Authorize again and enter the new refresh token in the connection.",
        action="The refused token is not sent again; the connection's listeners stand still.",
    ),
}


_OVER = "A login, or storing its tokens, worked after that."


def report(connection_id: int, trouble: Trouble, *, is_open: bool) -> None:
    """Open or close the incident for each listener of the connection. One transaction."""
    shown = _SHOWN[trouble]
    now = timezone.now()
    with transaction.atomic():
        for listener_id in Listener.objects.filter(connection_id=connection_id).values_list(
            "pk", flat=True
        ):
            if is_open:
                Incident.objects.report(listener_id, shown, now)
            else:
                Incident.objects.close(listener_id, shown.kind, now, key=shown.key, note=_OVER)
