"""Acknowledge an incident or close it by hand, with an entry in the action log."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from audit.action_log import Action, Actor, note
from audit.models import Incident


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
