"""Killed processes and stopped brokers lose nothing, and nothing runs twice at once."""

import psutil
import pytest
from django.utils import timezone

from audit.models import AuditLogEntry
from handlers.models import Delivery, DeliveryAttempt, HandlerMapping
from listeners.models import Listener, Position
from tests.clock import a_moment_ago
from tests.sample_data import listener_of
from tests.sample_handlers import read_journal
from tests.servers import wait_for


def succeeded() -> int:
    return Delivery.objects.filter(state="succeeded").count()


def test_a_worker_killed_in_a_run_loses_that_attempt_and_nothing_else(
    processes, simulator, org_listener
):
    HandlerMapping.objects.update(handler="tests.slow", options={"seconds": 60})
    worker = processes.worker()
    listener = processes.listener()
    simulator.create("Account", Name="Acme")
    wait_for(read_journal)
    worker.kill()
    HandlerMapping.objects.update(options={"seconds": 0})

    Delivery.objects.update(claim_deadline=a_moment_ago())
    processes.worker()

    wait_for(lambda: succeeded() == 1)
    outcomes = DeliveryAttempt.objects.order_by("number").values_list("outcome", flat=True)
    assert list(outcomes) == ["lost", "succeeded"]
    assert [line["attempt"] for line in read_journal()] == [1, 2, 2]
    assert listener.is_running


@pytest.mark.parametrize("fault", ["revoke_tokens", "drop_sessions"])
def test_a_lost_session_in_a_held_poll_loses_nothing(processes, simulator, org_listener, fault):
    listener = processes.listener()
    listener.wait_for_output("subscribed")
    simulator.create("Account", Name="before")
    wait_for(lambda: AuditLogEntry.objects.count() == 1)
    simulator.wait_until_held()

    simulator.fault(fault)
    simulator.create("Account", Name="after")

    wait_for(lambda: AuditLogEntry.objects.count() == 2)


def test_a_process_started_right_after_a_crash_is_not_idle_before_it_has_the_listener(
    processes, simulator, org_listener
):
    listener = processes.listener()
    listener.wait_for_output("subscribed")
    listener.kill()

    assert processes.listener("--until-idle", "3").wait() == 0

    assert Position.objects.get().epoch == 2


def test_a_broker_that_hangs_holds_up_neither_recording_nor_the_end(
    processes, simulator, org_listener, broker
):
    listener = processes.listener()
    listener.wait_for_output("subscribed")
    frozen = psutil.Process(int(broker.client().info("server")["process_id"]))
    frozen.suspend()
    try:
        for number in range(3):  # one batch after the other: the first one's messages hang
            simulator.create("Account", *[{"Name": f"Acme {number} {n}"} for n in range(10)])
            recorded = 10 * (number + 1)
            wait_for(lambda n=recorded: AuditLogEntry.objects.count() == n, what="the recording")
        wait_for(
            lambda: Position.objects.filter(
                state="receiving", lease_until__gt=timezone.now()
            ).exists(),
            what="a lease that is kept",
        )

        assert listener.terminate() == 0, listener.output
    finally:
        frozen.resume()
    processes.worker()
    processes.listener()

    wait_for(lambda: succeeded() == 30)
    assert len(read_journal()) == 30


def test_a_listener_that_is_slow_to_end_costs_no_other_its_lease(
    processes, simulator, org_listener, broker
):
    other = listener_of(simulator, channel="/data/ContactChangeEvent")
    processes.listener()
    wait_for(lambda: Position.objects.filter(state="receiving").count() == 2)
    holder = Position.objects.get(listener=other).holder
    standby = processes.listener()
    frozen = psutil.Process(int(broker.client().info("server")["process_id"]))
    frozen.suspend()
    try:
        simulator.create("Account", Name="Acme")
        wait_for(lambda: AuditLogEntry.objects.count() == 1)

        Listener.objects.filter(pk=org_listener.pk).update(enabled=False)

        wait_for(
            lambda: Position.objects.get(listener=org_listener).state == "stopped",
            what="the slow end",
        )
        position = Position.objects.get(listener=other)
        assert (position.holder, position.epoch) == (holder, 1)
        assert standby.is_running
    finally:
        frozen.resume()
