"""The incident of an unknown task gives a command that is safe to paste into a shell."""

import pytest
from django.utils import timezone

from audit.models import Incident
from handlers.messages.unknown_tasks import MOST_OPEN, open_or_count

pytestmark = pytest.mark.django_db


def report(task: str) -> Incident:
    open_or_count(task, "cdc", 1, timezone.now())
    return Incident.objects.latest("id")


def test_a_name_that_a_shell_would_run_is_quoted():
    remedy = report("x; rm -rf /\nx").remedy

    assert "--task 'x; rm -rf /\\nx'" in remedy
    assert "--task x" not in remedy


def test_an_incident_of_many_tasks_names_none_in_its_command():
    for number in range(MOST_OPEN):
        report(f"shop.sync{number}")

    incident = report("shop.one_too_many")

    assert "other tasks" in incident.summary
    assert "--task NAME" in incident.remedy
    assert "--task other" not in incident.remedy
