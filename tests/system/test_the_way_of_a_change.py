"""A change flows from Salesforce to the end of its handler, with every process on its own."""

from audit.models import AuditLogEntry
from handlers.models import Delivery, HandlerMapping
from listeners.models import Position
from tests.attempts import all_attempts
from tests.sample_handlers import read_journal
from tests.servers import wait_for


def test_each_change_is_recorded_and_handled_once_and_a_restart_adds_nothing(
    processes, simulator, org_listener
):
    worker = processes.worker()
    [account] = simulator.create("Account", Name="Acme", Phone="1")
    simulator.update("Account", account, Phone=None)
    simulator.delete("Account", account)
    simulator.undelete("Account", account)
    several = simulator.create("Contact", *[{"LastName": f"Name {n}"} for n in range(20)])

    for limit in (("--max-events", "24"), ("--until-idle", "3")):
        listener = processes.listener(*limit)
        assert listener.wait() == 0, listener.output

    wait_for(lambda: Delivery.objects.filter(state="succeeded").count() == 24)
    entries = AuditLogEntry.objects.order_by("id")
    assert [e.change_type for e in entries[:4]] == ["CREATE", "UPDATE", "DELETE", "UNDELETE"]
    assert {e.record_id for e in entries[4:]} == set(several)
    assert entries[1].changed_data["Phone"] is None
    assert sorted(line["id"] for line in read_journal()) == [e.pk for e in entries]
    assert len(all_attempts()) == 24
    assert worker.is_running
    position = Position.objects.get()
    assert (position.state, position.holder, position.epoch) == ("stopped", "", 2)


def test_changes_of_one_record_are_handled_in_their_order_by_several_workers(
    processes, simulator, org_listener
):
    [account] = simulator.create("Account", Name="Acme")
    for number in range(30):
        simulator.update("Account", account, Phone=str(number))
    processes.worker(concurrency=2)
    processes.worker(concurrency=2)

    listener = processes.listener("--max-events", "31")

    assert listener.wait() == 0, listener.output
    wait_for(lambda: Delivery.objects.filter(state="succeeded").count() == 31)
    handled = [line["id"] for line in read_journal()]
    assert handled == sorted(handled)
    assert len(handled) == 31


def test_an_update_waits_for_its_create_though_another_handler_has_it(
    processes, simulator, org_listener
):
    HandlerMapping.objects.filter(on="create").update(
        handler="tests.slow", options={"seconds": 0.5}
    )
    processes.worker(concurrency=2)
    [account] = simulator.create("Account", Name="Acme")
    simulator.update("Account", account, Phone="1")

    assert processes.listener("--max-events", "2").wait() == 0

    wait_for(lambda: Delivery.objects.filter(state="succeeded").count() == 2)
    lines = [(line["change"], line.get("at")) for line in read_journal()]
    assert lines == [("CREATE", "begin"), ("CREATE", "end"), ("UPDATE", None)]
