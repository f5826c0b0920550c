"""A process that stops inside a transaction holds its locks no longer than its lease."""

import os
import signal

import psutil
import pytest
from django.db import connection

from audit.models import AuditLogEntry
from listeners.models import Position
from tests.crash_points import at
from tests.servers import wait_for

pytestmark = pytest.mark.anywhere

CHANGES = 60


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite locks the whole file")
@pytest.mark.parametrize("point", ["recorded:stop:2", "writing:stop:3"])  # two COPYs in a batch
def test_a_paused_holder_blocks_no_other_process(processes, simulator, org_listener, point):
    simulator.create("Account", *[{"Name": f"Acme {n}"} for n in range(CHANGES)])
    paused = processes.listener(CDC_BATCH_MAX="20", **at(point))
    holder = wait_for(lambda: Position.objects.exclude(holder="").first()).holder
    wait_for(lambda: psutil.Process(paused.pid).status() == psutil.STATUS_STOPPED)
    assert AuditLogEntry.objects.count() == 20

    processes.listener()

    wait_for(lambda: AuditLogEntry.objects.count() == CHANGES, what="the other's work")
    epoch = Position.objects.get().epoch
    os.kill(paused.pid, signal.SIGCONT)
    # Whichever of its threads finds out first.
    told = ("another process has the listener", "recording ended: the lease was lost")
    wait_for(lambda: any(text in paused.output for text in told), what="its giving up")
    assert AuditLogEntry.objects.count() == CHANGES
    position = Position.objects.get()
    assert (position.holder != holder, position.epoch) == (True, epoch)
    assert paused.is_running
