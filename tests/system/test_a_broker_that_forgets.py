"""The relay publishes messages again that the broker lost, without an operator."""

import pytest

from audit.models import AuditLogEntry
from handlers.broker import queue_length
from handlers.models import Handover
from tests.sample_handlers import read_journal
from tests.servers import wait_for
from tests.system.verdict import (
    assert_each_is_recorded_once_and_handled,
    assert_in_order,
    noted_effects,
    wait_until_at_rest,
)

pytestmark = pytest.mark.anywhere


def test_a_broker_emptied_and_killed_costs_no_effect(processes, simulator, org_listener, broker):
    changes = simulator.burst(80, mix={"create": 1, "update": 2}, quiet=True)["changes"]
    processes.listener()
    wait_for(lambda: AuditLogEntry.objects.count() == changes, what="the recording")
    wait_for(lambda: not Handover.objects.exists(), what="the publishing")
    assert queue_length("cdc")
    broker.client().flushall()

    worker = processes.worker()
    wait_for(lambda: len(read_journal()) > 10, what="what was lost with the first")
    broker.terminate()
    broker.start()

    wait_until_at_rest(changes)
    assert_each_is_recorded_once_and_handled(changes)
    assert worker.is_running
    assert_in_order(noted_effects())
