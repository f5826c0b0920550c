"""Gap events are read, recorded and handled once by real processes, even if one of them dies."""

import threading

import pytest
from django.db import connection, connections
from django.utils import timezone

from audit.models import AuditLogEntry, DirtyRecord, Incident
from consumer.gaps import plan
from consumer.gaps.complete import complete
from handlers.models import Delivery, HandlerMapping
from tests.consumer.hearing import begin_now, hear
from tests.crash_points import at, reached
from tests.sample_handlers import read_journal
from tests.servers import wait_for

pytestmark = pytest.mark.anywhere

COMPLETE = """
import django
django.setup()
from consumer.gaps.complete import complete
from listeners.models import Listener
complete(Listener.objects.get().pk)
"""


@pytest.fixture
def gapped(simulator, org_listener, broker):
    """Three hundred records, each with an unseen change and a later one."""
    ids = simulator.create("Account", *[{"Name": f"Acme {n}", "Phone": "1"} for n in range(300)])
    begin_now(simulator, org_listener)
    simulator.forget_requests()
    simulator.gap("GAP_UPDATE", "Account", ids, apply=True, Phone="2")
    return ids


def bodies_read() -> list[dict[str, object]]:
    read = AuditLogEntry.objects.filter(source="gap").order_by("id")
    return list(read.values_list("changed_data", flat=True))


def test_gaps_among_other_changes_are_completed_in_order_by_listener_and_worker(
    processes, simulator, gapped
):
    others = simulator.create("Contact", *[{"Name": {"LastName": f"Ito {n}"}} for n in range(50)])
    processes.worker()

    processes.listener()

    wait_for(
        lambda: Delivery.objects.filter(state="succeeded").count() == 350,
        seconds=120,
        what="350 deliveries",
    )
    assert {line["record"] for line in read_journal() if line["change"] == "UPDATE"} == set(gapped)
    assert {line["record"] for line in read_journal() if line["change"] == "CREATE"} == set(others)
    assert len(read_journal()) == 350
    assert [body["Phone"] for body in bodies_read()] == ["2"] * 300
    composites = [one for one in simulator.api_requests() if "/composite/" in one["path"]]
    assert len(composites) == 1
    assert not Incident.objects.get(kind="gap").is_open


def test_killed_on_the_way_it_is_done_again_and_nothing_twice(
    processes, simulator, org_listener, gapped
):
    hear(simulator, org_listener)

    # There are two transactions; in the second case the first one is committed before the kill.
    for fault, completed in ((at("read:kill"), 0), (at("added:kill:2"), 200)):
        killed = processes.start("-c", COMPLETE, **fault)
        assert killed.wait() == -9, killed.output
        assert reached(fault)
        assert len(bodies_read()) == completed
        assert complete(org_listener.pk) == 0, "what it had claimed is still its own"
        DirtyRecord.objects.update(claimed_until="2020-01-01T00:00Z")

    assert complete(org_listener.pk) == 100
    assert len(bodies_read()) == 300
    assert Delivery.objects.filter(entry__source="gap").count() == 300
    assert not Delivery.objects.filter(awaits_record=True).exists()
    assert not Incident.objects.get(kind="gap").is_open


def test_several_at_once_read_each_record_once(simulator, org_listener, gapped):
    HandlerMapping.objects.update(ordering="unordered")
    hear(simulator, org_listener)
    plan.claim(org_listener.pk, timezone.now())
    ended: list[int] = []

    def run() -> None:
        try:
            ended.append(complete(org_listener.pk))  # a message that came twice
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(ended) == 300
    assert len(bodies_read()) == 300
    assert len([one for one in simulator.api_requests() if "/composite/" in one["path"]]) == 1
    assert connection.is_usable()
