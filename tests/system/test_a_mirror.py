"""A mirror works with its listener and its worker in processes of their own."""

import time

import pytest
from django.core.management import call_command

from handlers.models import Delivery
from mirror.models import DirtyRow, Mirror
from tests.crash_points import at, reached
from tests.mirror.crm.models import Account
from tests.mirror.load.loading import mirror_of
from tests.servers import wait_for

pytestmark = pytest.mark.anywhere

QUICK = {"CDC_CLAIM_SECONDS": "4"}


@pytest.fixture
def mirror(transactional_db, broker, simulator):
    simulator.create("Account", *({"Name": f"Acme {n}", "Phone": "0"} for n in range(20)))
    return mirror_of(simulator, is_live=False)


@pytest.fixture
def running(processes, mirror):
    """A listener and a worker, with the mirror loaded."""
    processes.listener()
    processes.worker(**QUICK)
    wait_until_in_sync(mirror)
    return processes


def wait_until_in_sync(mirror):
    wait_for(
        lambda: Mirror.objects.get(pk=mirror.pk).phase == "in_sync",
        what=f"the load: {list(mirror.runs.values())}",
    )


def rows():
    return {(row.pk, row.name, row.phone) for row in Account.objects.all()}


def in_the_org(org):
    return {
        (one["id"], one["fields"].get("Name"), one["fields"].get("Phone"))
        for one in org.records("Account")
        if not one["deleted"]
    }


def wait_until_equal(org):
    def state():
        unended = Delivery.objects.filter(state__in=Delivery.UNENDED)
        return (
            list(DirtyRow.objects.values()),
            list(unended.values("handler", "state", "attempts", "error")[:3]),
            rows() ^ in_the_org(org),
        )

    def is_equal():
        is_equal.last = state()
        return not any(is_equal.last)

    try:
        wait_for(is_equal, what="equal rows")
    except AssertionError:
        raise AssertionError(f"not equal: {is_equal.last}") from None


class Watcher:
    """Reads rows repeatedly, and checks that none goes back to an older version."""

    def __init__(self):
        self.versions = {}

    def look(self):
        for key, version in Account.all_objects.values_list("pk", "version"):
            before = self.versions.get(key)
            assert before is None or (version is not None and version >= before), key
            if version is not None:
                self.versions[key] = version


def test_a_change_moves_into_the_table(simulator, running):
    [key] = simulator.create("Account", Name="New", Phone="1")
    wait_for(lambda: Account.objects.filter(pk=key).exists(), what="the row")
    simulator.update("Account", key, Phone="2")
    wait_for(lambda: Account.objects.filter(pk=key, phone="2").exists(), what="2")
    simulator.delete("Account", key)
    wait_for(lambda: not Account.objects.filter(pk=key).exists(), what="the tombstone")
    simulator.undelete("Account", key)
    wait_until_equal(simulator)


def test_duplicates_and_redeliveries_move_no_row_back(simulator, running):
    keys = simulator.create("Account", *({"Name": f"New {n}", "Phone": "1"} for n in range(10)))
    for phone in ("2", "3", "4"):
        simulator.update("Account", keys, Phone=phone)
    wait_until_equal(simulator)
    watcher = Watcher()
    watcher.look()

    for sent in simulator.state()["events"][-8:]:
        simulator.duplicate(sent["replay_id"])
    call_command("redeliver_cdc_events", "--entity", "Account", "--as-recorded")
    call_command("redeliver_cdc_events", "--entity", "Account")

    ends_at = time.monotonic() + 5
    while time.monotonic() < ends_at:
        watcher.look()
        phones = set(Account.objects.filter(pk__in=keys).values_list("phone", flat=True))
        assert phones == {"4"}
        time.sleep(0.1)
    wait_until_equal(simulator)


@pytest.mark.parametrize("point", ["mirroring", "marking", "mirrored", "settled"])
def test_a_worker_killed_in_mid_batch_loses_no_change(simulator, processes, mirror, point):
    processes.listener()
    worker = processes.worker(**QUICK)
    wait_until_in_sync(mirror)
    worker.kill()
    keys = simulator.create("Account", *({"Name": f"New {n}", "Phone": "1"} for n in range(60)))
    simulator.update("Account", keys, Phone="2")
    simulator.delete("Account", keys[:5])
    # Its record is read, after which the mirror releases what waits for it.
    simulator.gap("GAP_UPDATE", "Account", keys[5], apply=True, Phone="3")
    fault = at(f"{point}:kill-all")
    killed = processes.worker(**QUICK, **fault)
    wait_for(lambda: reached(fault), what=point)
    killed.kill()

    processes.worker(**QUICK)

    wait_until_equal(simulator)
    assert Account.all_objects.filter(is_deleted=True).count() == 5


def test_a_gap_event_is_read(simulator, running, mirror):
    [key] = simulator.create("Account", Name="New", Phone="1")
    wait_until_equal(simulator)
    simulator.gap("GAP_UPDATE", "Account", key, apply=True, Phone="2")
    wait_for(lambda: Account.objects.filter(pk=key, phone="2").exists(), what="the row")
    wait_until_equal(simulator)
