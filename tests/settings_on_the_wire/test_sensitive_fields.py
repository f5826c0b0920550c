"""Values of sensitive fields reach the handlers, and are masked everywhere else."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from handlers.models import Delivery
from tests.commands.running import run
from tests.consumer.hearing import hear
from tests.running import run_delivery
from tests.sample_data import make_mapping
from tests.sample_handlers import read_journal
from tests.settings_on_the_wire.stored import listening, stored

pytestmark = pytest.mark.anywhere


@pytest.mark.django_db(transaction=True)
def test_a_sensitive_value_reaches_its_handler_and_is_masked_elsewhere(
    simulator: Any, broker: Any, journal: Any, django_user_model: Any
) -> None:
    simulator.create("Account", Name="Acme the Hidden", Phone="+49 30 1")
    listener = listening(stored(simulator), sensitive_fields=["Account.name"])
    make_mapping(listener, handler="tests.repeat")

    hear(simulator, listener)
    delivery = Delivery.objects.get()
    run_delivery(delivery.pk)

    [line] = read_journal()
    assert line["data"]["Name"] == "Acme the Hidden"
    user = django_user_model.objects.create_user("reader")
    user.groups.add(Group.objects.get(name="CDC Viewer"))
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.create(user=user).key}")
    entry = client.get("/api/v1/audit-log/").json()["results"][0]
    assert entry["changed_data"]["Name"] == "***"
    assert "cannot handle" in entry["deliveries"][0]["error"]
    for text in (
        client.get("/api/v1/audit-log/").content.decode(),
        client.get(f"/api/v1/deliveries/{delivery.pk}/").content.decode(),
        run("export_audit_log").out,
    ):
        assert "+49 30 1" in text
        assert "Hidden" not in text
