"""After a worker dies in the middle of a long redelivery, another process finishes it."""

import pytest
from django.utils import timezone

from audit.models import AuditLogEntry, AuditLogFilter
from consumer import relay
from handlers.models import Delivery, Redelivery
from handlers.outbox.handover import READY_AGE
from handlers.redelivery.job import run, start_due
from handlers.redelivery.request import request_matching
from handlers.redelivery.start import begin
from tests.clock import a_moment_ago
from tests.crash_points import at
from tests.handlers.bundling import messages
from tests.sample_data import ANN, make_listener, make_mapping

pytestmark = pytest.mark.anywhere

NUMBER = 2500
#: No worker consumes this queue, so that published messages stay there and can be counted.
QUEUE = "elsewhere"


def make_dead() -> None:
    listener = make_listener()
    mapping = make_mapping(listener, handler="tests.skip", queue=QUEUE)
    now = timezone.now()
    about = {"listener": listener, "channel": "/data/ChangeEvents", "entity_name": "Account"}
    entries = AuditLogEntry.objects.bulk_create(
        AuditLogEntry(
            **about, record_id=f"001{number}", change_type="CREATE", sequence_number=1,
            transaction_key=str(number), commit_timestamp=number, changed_data={}, received_at=now,
        )
        for number in range(NUMBER)
    )  # fmt: skip
    Delivery.objects.bulk_create(
        Delivery(entry=entry, mapping=mapping, handler="tests.skip", state="dead", created_at=now)
        for entry in entries
    )


def published() -> list[int]:
    return [pk for ids in messages(QUEUE) for pk in ids]


def test_a_killed_worker_leaves_the_rest_to_others_and_each_is_sent_once(processes):
    make_dead()
    # It dies with a step that is committed and not published.
    worker = processes.worker(**at("redelivered:kill-all:2"))
    redelivery = begin(request_matching(AuditLogFilter(state="dead"), ANN), timezone.now())
    worker.wait()
    redelivery.refresh_from_db()
    assert (redelivery.state, redelivery.done) == ("running", 2000)
    assert len(published()) == 1000

    Redelivery.objects.update(claimed_until=a_moment_ago(), due_at=a_moment_ago())
    assert start_due(timezone.now()) == 1
    run(redelivery.pk)

    redelivery.refresh_from_db()
    assert (redelivery.state, redelivery.done, redelivery.count) == ("done", NUMBER, NUMBER)
    [[_, _, verdict, _, number]] = redelivery.counts
    assert (verdict, number) == ("sent_again", NUMBER)
    Delivery.objects.filter(state="ready").update(created_at=timezone.now() - READY_AGE * 2)
    relay.publish_due(timezone.now())
    assert sorted(published()) == sorted(Delivery.objects.values_list("pk", flat=True))
