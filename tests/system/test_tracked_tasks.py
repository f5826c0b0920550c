"""Listener processes that are killed while they send external tasks and read their reports."""

import pytest

from consumer.ingest.transaction import ingest
from handlers.models import Delivery, DeliveryAttempt, Destination
from tests.clock import a_moment_ago
from tests.crash_points import at, reached
from tests.sample_data import change, lease_of, make_mapping, received
from tests.servers import RedisServer, wait_for
from tests.shop.process import Shop
from tests.system.verdict import free_the_lease

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.anywhere]

RECORDS = [f"00100000000000{number}AAA" for number in range(4)]
#: Where a listener is killed: after the claims of tasks, after it has read reports, before their
#: commit, and before they are acknowledged.
POINTS = ["claimed_to_send", "reports_read", "settled", "reported"]


@pytest.fixture
def shop(tmp_path):
    with RedisServer(tmp_path) as broker:
        project = Shop(broker.url, tmp_path)
        yield project
        project.close()


def test_a_listener_killed_at_each_point_repeats_no_task(processes, listener, shop):
    shop_broker = Destination.objects.create(name="shop", broker=shop.broker_url)
    for on in ("create", "update"):
        make_mapping(
            listener, on, "", task="shop.sync", destination=shop_broker, report_timeout=600
        )
    updates = [change("UPDATE", [record], changedFields=[]) for record in RECORDS + RECORDS]
    changes = [*(change(records=[record]) for record in RECORDS), *updates]
    ingest(listener, lease_of(listener), received(*changes), list(listener.mappings.all()))
    shop.worker()
    for point in POINTS:
        fault = at(f"{point}:kill")
        killed = processes.listener(**fault)
        assert killed.wait() == -9, killed.output
        assert reached(fault) == {point}
        free_the_lease()
        if point == "claimed_to_send":
            # What was claimed is not sent, so no report comes.
            claimed = Delivery.objects.filter(state="queued")
            assert claimed.update(claim_deadline=a_moment_ago())

    processes.listener()

    wait_for(
        lambda: not Delivery.objects.exclude(state="succeeded").exists(),
        what=f"the end of {Delivery.objects.counts()}",
    )
    assert Delivery.objects.count() == len(changes) == 12
    # In order for each record, and none twice.
    entries = [(record, entry) for _, record, entry, _ in shop.lines]
    assert len(entries) == len(set(entries)) == 12
    for record in RECORDS:
        own = [entry for of, entry in entries if of == record]
        assert own == sorted(own)
    # Only what was claimed and not sent had no report.
    unknown = DeliveryAttempt.objects.filter(outcome="unknown")
    assert {attempt.number for attempt in unknown} == {1}
    assert 1 <= unknown.count() <= len(RECORDS)
