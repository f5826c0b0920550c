"""Incidents without a listener are shown to users who may see all incidents."""

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from guardian.shortcuts import assign_perm

from audit.models import Incident
from consumer.alerts.channels import Notice
from handlers.messages.unknown_tasks import MOST_OPEN, open_or_count

pytestmark = pytest.mark.django_db


@pytest.fixture
def incident():
    open_or_count("shop.sync", "cdc", 2, timezone.now())
    return Incident.objects.get()


def test_the_pages_show_it(admin_client, incident):
    pages = [
        reverse("admin:audit_incident_changelist"),
        reverse("admin:audit_incident_change", args=[incident.pk]),
    ]
    for page in pages:
        text = admin_client.get(page).text
        assert "shop.sync" in text
        assert "None" not in text.partition("shop.sync")[2][:300]


def test_the_api_and_notices_name_no_listener(admin_client, incident):
    [shown] = admin_client.get("/api/v1/incidents/").json()["results"]

    assert (shown["listener"], shown["kind"], shown["count"]) == (None, "unknown_task", 2)
    assert Notice.of(incident).listener == ""


def test_a_user_with_a_single_listener_does_not_see_it(client, listener, incident):
    user = User.objects.create_user("bob", password="a long password", is_staff=True)
    assign_perm("listeners.view_listener", user, listener)
    client.force_login(user)

    assert "shop.sync" not in client.get(reverse("admin:audit_incident_changelist")).text
    assert "shop.sync" not in client.get("/api/v1/incidents/").text


def test_however_many_names_are_sent_only_so_many_are_open(db):
    for number in range(MOST_OPEN + 5):
        open_or_count(f"task{number}", "cdc", 1, timezone.now())

    assert Incident.objects.count() == MOST_OPEN + 1
    assert Incident.objects.get(key="").count == 5
