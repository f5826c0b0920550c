"""SIGKILL at any point of a change's flow: everything is recorded once, and handled."""

import pytest
from django.db import connection

from audit.models import AuditLogEntry
from handlers.models import Delivery, DeliveryAttempt, HandlerMapping
from tests.crash_points import at, reached
from tests.servers import wait_for
from tests.system.verdict import (
    assert_each_is_recorded_once_and_handled,
    assert_in_order,
    free_the_lease,
    noted_effects,
    wait_until_at_rest,
    written_effects,
)

#: Each process takes seconds to start: on SQLite only where a new one has something else to do than
#: at the others.
LISTENER_POINTS = ["subscribed", "received", "recorded", "committed"]
if connection.vendor == "postgresql":
    LISTENER_POINTS += ["recording", "writing", "sent", "published"]
#: How often a worker's child is there before it is killed. It publishes what goes to another queue.
WORKER_POINTS = {"claimed": 2, "handled": 3, "settled": 4, "ended": 5, "sent": 1, "published": 1}
#: Where a child runs on a while without its worker, and where all of the machine is gone.
WITH_ITS_WORKER = {"claimed": "kill-parent", "handled": "kill-all"}
#: Per entity few records, so that chains are long.
FEW_RECORDS = {"mix": {"create": 1, "update": 9}, "quiet": True}
QUICK = {"CDC_CLAIM_SECONDS": "4"}


def test_a_listener_killed_at_each_point_loses_nothing_and_repeats_nothing(
    processes, simulator, org_listener
):
    changes = simulator.burst(400, **FEW_RECORDS)["changes"]
    processes.worker(concurrency=2)
    for point in LISTENER_POINTS:
        # One thread publishes all that was recorded meanwhile, perhaps at once.
        is_second = point in ("recorded", "committed", "recording", "writing")
        fault = at(f"{point}:kill:{2 if is_second else 1}")
        changes += simulator.burst(40, **FEW_RECORDS)["changes"]

        killed = processes.listener(CDC_BATCH_MAX="10", **fault)

        assert killed.wait() == -9, killed.output
        assert reached(fault) == {point}
        free_the_lease()

    processes.listener()

    wait_until_at_rest(changes)
    assert_each_is_recorded_once_and_handled(changes)
    assert len(set(noted_effects())) == changes
    assert_in_order(noted_effects())


@pytest.fixture
def backlog(processes, simulator, org_listener):
    """Recorded changes, and a listener that continues as the relay."""

    def make(handler: str) -> int:
        HandlerMapping.objects.update(handler=handler)
        changes = simulator.burst(80, **FEW_RECORDS)["changes"]
        processes.listener()
        wait_for(lambda: AuditLogEntry.objects.count() == changes)
        return changes

    return make


def test_a_workers_child_killed_at_each_point_loses_no_effect_and_writes_none_twice(
    processes, backlog
):
    HandlerMapping.objects.filter(on="update").update(queue="special")
    changes = backlog("tests.write_group")
    fault = at(*[f"{point}:kill:{times}" for point, times in WORKER_POINTS.items()])

    worker = processes.worker(concurrency=2, **QUICK, **fault)

    wait_until_at_rest(changes)
    assert reached(fault) == set(WORKER_POINTS)
    assert worker.is_running
    assert_each_is_recorded_once_and_handled(changes)
    assert len(written_effects()) == changes
    assert_in_order(written_effects())
    # Killed after the claim and before the commit, an attempt is lost.
    assert DeliveryAttempt.objects.filter(outcome="lost").count() >= 3


def test_a_worker_killed_with_its_child_or_without_it_loses_nothing(processes, backlog):
    changes = backlog("tests.remember")
    for point, action in WITH_ITS_WORKER.items():
        fault = at(f"{point}:{action}:3")

        killed = processes.worker(**QUICK, **fault)

        assert killed.wait() == -9, killed.output
        assert reached(fault) == {point}
    assert Delivery.objects.filter(state__in=Delivery.UNENDED).exists()

    processes.worker(concurrency=2)

    wait_until_at_rest(changes)
    assert_each_is_recorded_once_and_handled(changes)
    assert len(set(noted_effects())) == changes
    assert_in_order(noted_effects())
