"""Handlers run after the mirror, with every process on its own."""

import itertools
import threading

import pytest
from django.utils import timezone

from audit.models import AuditLogEntry
from consumer import relay
from handlers.models import Delivery
from mirror.models import Mirror
from tests.consumer.hearing import begin_now
from tests.crash_points import at, reached
from tests.mirror.adding import in_sync
from tests.mirror.crm.models import Account
from tests.mirrored import AFTER, MIRROR, make_follower, make_mirror
from tests.sample_data import connection_to, make_listener
from tests.sample_handlers import read_journal
from tests.servers import wait_for

RECORDS, CHANGES = 10, 15


@pytest.fixture
def accounts(simulator):
    return simulator.create(
        "Account", *[{"Name": f"Acme {n}", "Phone": "0"} for n in range(RECORDS)]
    )


@pytest.fixture
def mirrored(transactional_db, simulator, accounts):
    """A listener with a mirror that is to load the org's accounts, and a position after all changes
    so far."""
    connection = connection_to(simulator.url, simulator.credentials)
    listener = make_listener(connection=connection)
    make_mirror(listener, is_loaded=False)
    begin_now(simulator, listener)
    return listener


def change_all(simulator, accounts):
    """Set the phone of all accounts to increasing numbers, while the processes work."""
    for number in range(1, CHANGES + 1):
        simulator.update("Account", accounts, Phone=str(number))


def all_succeeded(number, **of):
    found = Delivery.objects.filter(state="succeeded", **of)
    wait_for(lambda: found.count() == number, seconds=120, what=f"{number} deliveries")


def check_the_rows_that_handlers_saw():
    """Check that each handler saw a row at least as new as its change, and never an older one than
    before."""
    lines = sorted(read_journal(), key=lambda line: line["record"])
    for _, group in itertools.groupby(lines, key=lambda line: line["record"]):
        seen = list(group)
        assert [line["id"] for line in seen] == sorted(line["id"] for line in seen)
        phones = [int(line["row"]["phone"]) for line in seen]
        assert phones == sorted(phones)
        for line, phone in zip(seen, phones, strict=True):
            assert phone >= int(line["data"]["Phone"])


def test_the_row_is_at_least_as_new_as_the_change_in_the_order_of_the_record(
    processes, simulator, mirrored, accounts
):
    make_follower(mirrored)
    processes.listener()
    for _ in range(2):
        processes.worker(concurrency=2)
    changing = threading.Thread(target=change_all, args=(simulator, accounts))
    changing.start()

    all_succeeded(RECORDS * CHANGES, **AFTER)

    changing.join()
    assert len(read_journal()) == RECORDS * CHANGES
    check_the_rows_that_handlers_saw()
    assert set(Account.objects.values_list("phone", flat=True)) == {str(CHANGES)}


def test_a_handler_that_fails_never_holds_up_the_mirror(processes, simulator, mirrored, accounts):
    make_follower(mirrored, handler="tests.fail", max_attempts=1, on_dead="halt")
    processes.listener()
    processes.worker(concurrency=2)

    change_all(simulator, accounts)

    all_succeeded(RECORDS * CHANGES, **MIRROR)
    wait_for(
        lambda: set(Account.objects.values_list("phone", flat=True)) == {str(CHANGES)},
        what="current rows",
    )
    assert not Delivery.objects.filter(state="succeeded", **AFTER).exists()


def test_a_worker_that_dies_before_the_release_leaves_no_handler_waiting(
    processes, simulator, mirrored, accounts
):
    make_follower(mirrored)
    in_sync(Mirror.objects.get())  # without a listener process, no load begins
    simulator.update("Account", accounts, Phone="1")
    listener = processes.listener()
    wait_for(lambda: AuditLogEntry.objects.count() == RECORDS, what="the recording")
    assert listener.terminate() == 0, listener.output
    fault = at("mirrored:kill")
    processes.worker(**fault, CDC_CLAIM_SECONDS="4")

    def go_round() -> bool:
        relay.run_due(timezone.now())
        relay.sweep(timezone.now())
        return Delivery.objects.filter(state="succeeded", **AFTER).count() == RECORDS

    wait_for(go_round, seconds=120, what="the handlers")
    assert reached(fault) == {"mirrored"}
    check_the_rows_that_handlers_saw()
