"""When a listener of the Pub/Sub API is killed or paused, another one continues."""

import signal

import psutil
import pytest
from django.db import connection

from audit.models import AuditLogEntry
from listeners.models import Position
from tests.crash_points import at, reached
from tests.sample_data import listener_of
from tests.servers import wait_for
from tests.simulator.process import SimulatorProcess
from tests.system.verdict import free_the_lease, published_changes, recorded_changes

pytestmark = pytest.mark.anywhere

IS_POSTGRES = connection.vendor == "postgresql"
#: Each process takes seconds to start: on SQLite not all of them.
POINTS = {"received": 1, "committed": 8}
if IS_POSTGRES:
    POINTS |= {"subscribed": 1, "recording": 2, "recorded": 2, "sent": 1}


@pytest.fixture
def simulator():
    with SimulatorProcess("--grpc-keep-alive", "1", grpc=True) as org:
        org.managed_subscription("Kept", "/data/ChangeEvents", replay="earliest")
        yield org


def test_killed_at_each_point_or_paused_they_lose_nothing_and_repeat_nothing(
    processes, simulator, transactional_db
):
    here = {"transport": "pubsub", "pubsub_endpoint": simulator.grpc_endpoint}
    listeners = [listener_of(simulator, managed_subscription=name, **here) for name in ("", "Kept")]
    simulator.burst(160, quiet=True)
    for point, nth in POINTS.items():
        fault = at(f"{point}:kill:{nth}")

        # Once the plain one alone, so that it surely has a position to go on from.
        names = [listeners[0].name] if point == "committed" else []
        killed = processes.listener(*names, CDC_BATCH_MAX="5", **fault)

        assert killed.wait() == -9, killed.output
        assert reached(fault) == {point}
        free_the_lease()
    simulator.burst(60, quiet=True)  # all may be recorded before it is published
    published = published_changes(simulator)
    # On SQLite a paused process may hold the write lock.
    paused = paused_holder(processes) if IS_POSTGRES else None
    held = epochs()

    processes.listener()

    wait_for(lambda: recorded_changes(listeners[0]) == published, what="the rest")
    if paused:
        # Until its heartbeat is old, it counts as a process that has a share of the listeners.
        wait_for(lambda: not held & epochs(), what="the takeover of both listeners")
        paused.signal(signal.SIGCONT)
        paused.wait_for_output("recording ended: the lease was lost")
    wait_for(lambda: AuditLogEntry.objects.count() >= 2 * len(published), what="all the rest")
    assert [recorded_changes(one) for one in listeners] == [published, published]


def epochs() -> set[tuple[int, int]]:
    """Return each listener with the number of its holder."""
    return set(Position.objects.values_list("listener", "epoch"))


def paused_holder(processes):
    """A paused listener. Its managed subscription stays taken until it continues, since each has
    one client at a time."""
    paused = processes.listener(CDC_BATCH_MAX="5", **at("committed:stop:2"))
    wait_for(lambda: psutil.Process(paused.pid).status() == psutil.STATUS_STOPPED, what="the pause")
    # Its leases expire by themselves: the process may have locked a position.
    return paused
