"""Several listener processes share the load evenly, with one active process for each listener,
through all failures."""

import contextlib
import json
import os
import signal
import sqlite3
from collections import Counter
from urllib.parse import urlsplit

import psutil
import pytest
from django.db import connection

from audit.models import AuditLogEntry
from listeners.models import ListenerProcess, Position
from tests.crash_points import at
from tests.line import Line
from tests.sample_data import listener_of
from tests.servers import wait_for

IS_SQLITE = connection.vendor == "sqlite"
# The next batch was at hand, and the epoch kept it out.
REFUSED = "recording ended: the lease was lost"
HANDED_OVER = "handing over to a process with fewer listeners"


def shares() -> list[int]:
    """Return how many receiving listeners each process runs."""
    holders = Position.objects.filter(state="receiving").exclude(holder="")
    return sorted(Counter(holders.values_list("holder", flat=True)).values())


def given_up(processes) -> set[str]:
    """Return the names of the listeners that processes lost or handed over for a reason that they
    log: a slow machine may delay the renewal of a lease, or let one process take too many."""
    lines = [
        json.loads(line)
        for process in processes
        for line in process.output.splitlines(keepends=True)
        if line.startswith("{") and line.endswith("\n")
    ]
    return {
        line["listener"]
        for line in lines
        if "listener" in line
        and (line["level"] != "info" or line["event"] in (REFUSED, HANDED_OVER))
    }


def free_the_lease() -> None:
    """Make the lease expire."""
    Position.objects.update(lease_until="2020-01-01T00:00Z")


def test_listeners_are_spread_evenly_and_move_when_a_process_joins_or_is_killed(
    processes, simulator, transactional_db
):
    listeners = [listener_of(simulator, replay_from="tip") for _ in range(6)]
    started = [processes.listener()]
    wait_for(lambda: shares() == [6], what="one process with all")

    started += [processes.listener(), processes.listener()]

    wait_for(lambda: shares() == [2, 2, 2], what="an even spread")
    held = dict(Position.objects.values_list("listener", "holder"))
    victim = started[0]
    [dead] = {holder for holder in held.values() if f":{victim.pid}:" in holder}
    orphans = [pk for pk, holder in held.items() if holder == dead]
    before = dict(Position.objects.values_list("listener", "epoch"))
    names = {listener.pk: listener.name for listener in listeners}

    def moved() -> set[int]:
        return {p.pk for p in Position.objects.all() if p.epoch != before[p.pk]}

    victim.kill()

    wait_for(lambda: shares() == [3, 3], what="the failover")
    assert moved() >= set(orphans)
    wait_for(
        lambda: {names[pk] for pk in moved() - set(orphans)} <= given_up(started[1:]),
        what="a reason for each other move",
    )
    wait_for(lambda: ListenerProcess.objects.count() == 2, what="the dead one's absence")
    simulator.create("Account", Name="Acme")
    wait_for(lambda: AuditLogEntry.objects.count() == len(listeners))

    started[1].terminate()

    wait_for(lambda: shares() == [6], what="what an ended process ran, elsewhere")
    assert [process.is_running for process in started] == [False, False, True]


def is_stopped(process) -> bool:
    return psutil.Process(process.pid).status() == psutil.STATUS_STOPPED


def has_the_only_writer() -> bool:
    """Return whether a transaction holds SQLite's write lock."""
    with contextlib.closing(sqlite3.connect(connection.settings_dict["NAME"], timeout=1)) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        other.rollback()
        return False


def stop_while_others_can_write(process) -> None:
    while has_the_only_writer():
        process.signal(signal.SIGCONT)
        process.signal(signal.SIGSTOP)
        wait_for(lambda: is_stopped(process))


@pytest.mark.skipif(not IS_SQLITE, reason="of PostgreSQL: test_paused_inside_a_transaction.py")
def test_a_holder_that_was_paused_in_a_burst_writes_nothing_more(
    processes, simulator, org_listener
):
    published = simulator.burst(1000, quiet=True)
    paused = processes.listener(CDC_BATCH_MAX="50", **at("committed:stop:3"))
    wait_for(lambda: is_stopped(paused), what="the pause")
    stop_while_others_can_write(paused)
    assert 0 < AuditLogEntry.objects.count() < published["changes"]
    free_the_lease()

    successor = processes.listener()

    wait_for(lambda: AuditLogEntry.objects.count() == published["changes"], what="the rest")
    paused.signal(signal.SIGCONT)
    paused.wait_for_output(REFUSED)
    assert_went_on_once(successor, published["changes"])


@pytest.mark.skipif(IS_SQLITE, reason="a file cannot be out of reach")
def test_a_holder_cut_off_from_the_database_writes_nothing_when_it_is_back(
    processes, simulator, org_listener
):
    address = urlsplit(os.environ["DATABASE_URL"])
    with Line(address.port) as line:
        url = f"postgres://postgres@127.0.0.1:{line.port}/{connection.settings_dict['NAME']}"
        cut_off = processes.listener(CDC_BATCH_MAX="50", DATABASE_URL=url)
        first = simulator.burst(200, quiet=True)["changes"]
        wait_for(lambda: AuditLogEntry.objects.count() == first)
        line.freeze()
        rest = simulator.burst(2800, quiet=True)["changes"]
        free_the_lease()

        successor = processes.listener()

        wait_for(lambda: AuditLogEntry.objects.count() == first + rest, what="the rest")
        line.restore()
        cut_off.wait_for_output(REFUSED)
        assert_went_on_once(successor, first + rest)


def assert_went_on_once(successor, changes: int) -> None:
    """Check that the successor has the lease, and that each change is recorded once, in order."""
    position = Position.objects.get()
    assert f":{successor.pid}:" in position.holder
    assert position.epoch == 2
    entries = AuditLogEntry.objects.order_by("id")
    identities = entries.values_list("transaction_key", "sequence_number", "record_id")
    assert len(identities) == len(set(identities)) == changes
    assert position.replay_id == AuditLogEntry.objects.latest("id").replay_id
