"""Incidents that somebody looks after, or closes by hand; each with its line in the action log."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from audit.action_log import Action, Actor, note
from audit.models import Incident


def acknowledge(incident: Incident, by: Actor, now: datetime) -> bool:
    """Unless it is closed, or somebody's already. Inside any transaction."""
    with transaction.atomic():
        if not Incident.objects.filter(pk=incident.pk).acknowledge(by.name, now):
            return False
        note(by, Action.ACKNOWLEDGE, incident)
    return True


def close(incident: Incident, by: Actor, reason: str, now: datetime) -> bool:
    """Unless it is closed: whoever closed it stays the one who did. Inside any transaction."""
    with transaction.atomic():
        if not Incident.objects.filter(pk=incident.pk).settle(now, by=by.name, note=reason):
            return False
        note(by, Action.CLOSE, incident, reason=reason)
    return True
