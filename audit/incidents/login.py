"""Open and close login incidents, one for each listener of a connection."""

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
        "A new refresh token could not be stored: only one process has it, in memory.",
        "Restore the token store before that process ends. The token is then stored automatically.",
        action="That process keeps using the token and retries to store it.",
    ),
    Trouble.CUT_OFF: Shown(
        Incident.Kind.LOGIN,
        Trouble.CUT_OFF,
        "A process ended during a token refresh: the stored refresh token may already be used up.",
        "If logins are refused now, authorize again and enter the new refresh token.",
        action="Logins continue with the stored refresh token.",
    ),
    Trouble.REVOKED: Shown(
        Incident.Kind.LOGIN,
        Trouble.REVOKED,
        "Salesforce refused the refresh token: it was revoked or used up elsewhere.",
        "Authorize again and enter the new refresh token in the connection.",
        action="The refused token is not sent again; the listeners of the connection are stopped.",
    ),
}


_OVER = "A later login succeeded, or its tokens were stored."


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
