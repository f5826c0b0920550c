"""Reporting an incident that the database refuses raises the database's error."""

from datetime import timedelta

import pytest
from django.db import IntegrityError
from django.utils import timezone

from audit.models import Incident, Trouble


@pytest.mark.django_db
def test_an_incident_that_the_database_refuses_is_an_error():
    now = timezone.now()
    backwards = Trouble(
        Incident.Kind.GAP,
        "a key",
        "It ends before it begins.",
        "",
        window_start=now,
        window_end=now - timedelta(hours=1),
    )

    with pytest.raises(IntegrityError, match="incident_window_ordered"):
        Incident.objects.report(None, backwards, now)
