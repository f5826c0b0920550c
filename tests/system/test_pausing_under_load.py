"""A handler is paused under full load, while one of the workers is killed."""

from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from consumer import relay
from consumer.ingest.transaction import ingest
from handlers.mappings import pause
from handlers.models import Delivery
from handlers.outbox.handover import READY_AGE
from tests.sample_data import ANN, change, lease_of, make_mapping, received
from tests.sample_handlers import read_journal
from tests.servers import wait_for
from tests.system.verdict import assert_in_order

pytestmark = pytest.mark.anywhere

RECORDS, CHANGES = 40, 20
#: The last change of each record comes during the pause.
ALL = RECORDS * (CHANGES + 1)


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer")
def test_nothing_starts_after_the_pause_and_all_is_handled_once_in_order_after_it(
    processes, listener
):
    mapping = make_mapping(listener, "update")
    for _ in range(CHANGES):
        change_each(listener)
    doomed, survivor = processes.worker(concurrency=2), processes.worker(concurrency=2)

    relay.publish_due(timezone.now() + READY_AGE)
    wait_for(lambda: ended() >= RECORDS)
    assert pause.pause([mapping], ANN, "", timezone.now())
    claimed = Delivery.objects.filter(state__in=("running", "succeeded"))
    # A run that was claimed before the pause may call its handler some milliseconds after it.
    may_have_run = set(claimed.values_list("pk", flat=True))
    change_each(listener)

    wait_for(lambda: not Delivery.objects.filter(state="running").exists())
    doomed.kill()

    def is_at_rest():
        """Let the relay repair lost messages and runs, and return whether no delivery runs."""
        relay.publish_due(timezone.now() + READY_AGE)
        relay.sweep(timezone.now() + timedelta(minutes=30))
        return not Delivery.objects.filter(state__in=("running", "queued")).exists()

    wait_for(is_at_rest)
    handled = set(Delivery.objects.filter(state="succeeded").values_list("pk", flat=True))
    assert len(handled) < ALL
    assert handled <= may_have_run
    assert not Delivery.objects.exclude(state="succeeded").filter(attempts__gt=0).exists()

    assert pause.resume([mapping], ANN, "", timezone.now())

    def is_over():
        """Let the relay publish due deliveries, and return whether all have ended."""
        relay.publish_due(timezone.now() + READY_AGE)
        return ended() == ALL

    wait_for(is_over)
    lines = [(line["record"], line["id"]) for line in read_journal()]
    assert set(Counter(lines).values()) == {1}
    assert_in_order(lines)
    assert survivor.is_running


def change_each(listener) -> None:
    """Record a change of each record."""
    batch = [change("UPDATE", [f"001{n:015}"]) for n in range(RECORDS)]
    ingest(listener, lease_of(listener), received(*batch))


def ended() -> int:
    return Delivery.objects.filter(state="succeeded").count()
