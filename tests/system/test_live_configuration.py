"""Changes of configuration are taken up while the listener runs."""

from audit.models import AuditLogEntry
from handlers.models import Delivery, HandlerMapping
from listeners.models import Listener, Position
from tests.sample_data import listener_of
from tests.servers import wait_for


def test_a_new_mapping_is_used_from_the_next_change_on(processes, simulator, org_listener):
    HandlerMapping.objects.all().delete()
    processes.listener().wait_for_output("subscribed")
    simulator.create("Account", Name="unmapped")
    wait_for(lambda: AuditLogEntry.objects.count() == 1)

    HandlerMapping.objects.create(listener=org_listener, on="create", handler="tests.remember")
    simulator.create("Account", Name="mapped")

    wait_for(lambda: AuditLogEntry.objects.count() == 2)
    assert Delivery.objects.get().entry.changed_data["Name"] == "mapped"


def test_a_disabled_listener_stops_and_an_enabled_one_goes_on_where_it_was(
    processes, simulator, org_listener
):
    listener = processes.listener()
    listener.wait_for_output("subscribed")
    org_listener.enabled = False
    org_listener.save()
    wait_for(lambda: Position.objects.get().state == "stopped")
    simulator.create("Account", Name="meanwhile")

    org_listener.enabled = True
    org_listener.save()

    wait_for(lambda: AuditLogEntry.objects.count() == 1)
    assert listener.is_running


def test_a_new_listener_is_hosted(processes, simulator, org_listener):
    processes.listener().wait_for_output("subscribed")

    listener_of(simulator, channel="/data/ContactChangeEvent")
    simulator.create("Contact", LastName="Doe")

    wait_for(lambda: AuditLogEntry.objects.count() == 2)
    assert Listener.objects.filter(entries__isnull=False).distinct().count() == 2
