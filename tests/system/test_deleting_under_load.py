"""Mappings can be deleted while processes record and handle, even if the process that cleans up is
killed."""

from collections import Counter

import pytest
from django.db import connection
from django.utils import timezone

from audit.models import AuditLogEntry
from consumer import relay
from consumer.ingest.transaction import ingest
from handlers import broker
from handlers.models import Delivery, HandlerMapping
from tests.crash_points import at, reached
from tests.sample_data import change, lease_of, make_mapping, received
from tests.servers import wait_for
from tests.system.verdict import noted_effects, wait_until_at_rest

pytestmark = pytest.mark.anywhere

DELETED = "its handler mapping was deleted"


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer")
def test_no_change_is_lost_and_no_batch_is_recorded_twice(processes, simulator, org_listener):
    updates = org_listener.mappings.filter(on="update")
    changes = simulator.burst(100, mix={"create": 1, "update": 9}, quiet=True)["changes"]
    processes.worker(concurrency=2)
    listener = processes.listener(CDC_BATCH_MAX="5")

    while (recorded := AuditLogEntry.objects.count()) < changes:
        updates.delete()
        make_mapping(org_listener, "update")
        wait_for(lambda n=recorded: AuditLogEntry.objects.count() > n)

    wait_until_at_rest(changes)
    assert "IntegrityError" not in listener.output
    assert listener.is_running
    ended = Counter(Delivery.objects.values_list("state", "error"))
    assert ended.keys() <= {("succeeded", ""), ("skipped", DELETED)}
    assert len(noted_effects()) == len(set(noted_effects())) == ended["succeeded", ""]
    assert updates.count() == 1


def test_what_a_killed_process_left_the_next_one_skips(processes, listener):
    mapping = make_mapping(listener, queue="nobody hears it")
    ingest(listener, lease_of(listener), received(change(), change()))
    assert _states() == ["queued", "blocked"]
    mapping.delete()
    fault = at("skipped:kill-all:2")
    worker = processes.worker(**fault)

    broker.start("consumer.relay")

    worker.wait()
    assert reached(fault) == {"skipped"}
    assert _states() == ["queued", "skipped"]
    relay.sweep(timezone.now())
    assert _states() == ["skipped", "skipped"]
    Delivery.objects.all().delete()
    relay.sweep(timezone.now())
    assert not HandlerMapping.with_deleted.exists()


def _states() -> list[str]:
    return list(Delivery.objects.order_by("id").values_list("state", flat=True))
