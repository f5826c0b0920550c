"""Changes of the configuration take effect while the listener runs."""

import pytest

from audit.models import AuditLogEntry, Incident
from consumer.host import supervisor
from handlers.models import Delivery, HandlerMapping, Handover
from listeners.models import Listener, Position
from tests.sample_data import connection_to, listener_of, make_listener
from tests.servers import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def tip_listener(transactional_db, org):
    return listener_of(org, replay_from="tip")


def is_(state: str, **fields) -> bool:
    return Position.objects.filter(state=state, **fields).exists()


def test_a_new_mapping_is_used_from_the_next_change_on(org, run, tip_listener):
    HandlerMapping.objects.all().delete()
    run()
    wait_for(lambda: is_("receiving"))
    org.create("Account", Name="unmapped")
    wait_for(lambda: AuditLogEntry.objects.count() == 1)

    HandlerMapping.objects.create(listener=tip_listener, on="create", handler="tests.remember")
    org.create("Account", Name="mapped")

    wait_for(lambda: AuditLogEntry.objects.count() == 2)
    assert Delivery.objects.get().entry.changed_data["Name"] == "mapped"


def test_a_disabled_listener_stops_and_an_enabled_one_goes_on_where_it_was(org, run, tip_listener):
    run()
    wait_for(lambda: is_("receiving"))
    org.create("Account", Name="before")
    wait_for(lambda: AuditLogEntry.objects.count() == 1)
    tip_listener.enabled = False
    tip_listener.save()
    wait_for(lambda: is_("stopped"))
    org.create("Account", Name="meanwhile")

    tip_listener.enabled = True
    tip_listener.save()

    wait_for(lambda: AuditLogEntry.objects.count() == 2)
    assert AuditLogEntry.objects.latest("id").changed_data["Name"] == "meanwhile"


def test_a_new_listener_is_hosted(org, run, tip_listener):
    run()
    wait_for(lambda: is_("receiving"))

    new = listener_of(org, channel="/data/ContactChangeEvent", replay_from="tip")
    wait_for(lambda: is_("receiving", listener=new))
    org.create("Contact", LastName="Doe")

    wait_for(lambda: AuditLogEntry.objects.count() == 2)
    assert Listener.objects.filter(entries__isnull=False).distinct().count() == 2


def test_one_failed_listener_does_not_stop_the_others(org, run, tip_listener):
    wrong = connection_to(org.url, {"client_id": "x", "client_secret": "y"})
    make_listener(connection=wrong, name="wrong")
    run()
    wait_for(lambda: is_("failed", listener__name="wrong") and is_("receiving"))

    org.create("Account", Name="Acme")

    wait_for(AuditLogEntry.objects.exists)


def test_correcting_the_connection_starts_a_failed_listener_again(org, run, tip_listener):
    secret = tip_listener.connection.client_secret
    tip_listener.connection.client_secret = "wrong"
    tip_listener.connection.save()
    make_listener(connection=connection_to(org.url, org.credentials))
    run()
    wait_for(lambda: is_("failed", listener=tip_listener))

    tip_listener.connection.client_secret = secret
    tip_listener.connection.save()

    wait_for(lambda: is_("receiving", listener=tip_listener))
    wait_for(lambda: Incident.objects.filter(kind="configuration", closed_at=None).count() == 0)
    assert Incident.objects.get(kind="configuration").listener == tip_listener


def test_a_secret_that_is_not_there_ends_with_3_and_says_which(org, run):
    credentials = org.credentials | {"client_secret": "env:NOT_SET_ANYWHERE"}
    make_listener(connection=connection_to(org.url, credentials))

    assert run().wait() == supervisor.EXIT_ALL_FAILED == 3
    assert "NOT_SET_ANYWHERE is not set" in Position.objects.get().reason


def test_max_events_ends_it_once_they_are_recorded_and_published(
    org, run, tip_listener, monkeypatch
):
    monkeypatch.setattr(supervisor, "JOIN_SECONDS", 60.0)  # more may be recorded while it drains
    running = run(max_events=10)
    wait_for(lambda: is_("receiving"))

    org.create("Account", *[{"Name": f"Acme {n}"} for n in range(50)])

    assert running.wait() == 0
    assert AuditLogEntry.objects.count() >= 10
    assert not Delivery.objects.filter(state="ready").exists()
    assert not Handover.objects.exists()
