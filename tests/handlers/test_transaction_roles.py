"""Functions that commit refuse to run inside a caller's transaction, which could undo them."""

import pytest
from django.db import transaction
from django.utils import timezone

from consumer.ingest.position import note_unrecorded
from consumer.ingest.transaction import KeepAlive, ingest, move_to_keep_alive, quarantine_answer
from handlers.models import Delivery
from handlers.sdk.outcomes import Failed, Succeeded
from handlers.types import Ended
from handlers.worker.claim import claim
from handlers.worker.run import run_deliveries
from handlers.worker.settle import settle_runs
from tests.handlers.bundling import deliver
from tests.sample_data import change, lease_of, received

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

NOW = timezone.now()
REFUSED = "durable atomic block|Retry the whole transaction"


def ended(claims, outcome):
    return [Ended(one, outcome, NOW, NOW) for one in claims]


@pytest.mark.parametrize(
    "record",
    [
        lambda listener, lease: ingest(listener, lease, received(change())),
        lambda listener, lease: ingest(listener, lease, received({"channel": "/data/Nothing"})),
        lambda listener, lease: move_to_keep_alive(lease, KeepAlive("7", NOW)),
        lambda listener, lease: quarantine_answer(listener, lease, "<html>", "no JSON", NOW),
        lambda listener, lease: note_unrecorded(lease, 1),
    ],
    ids=["a batch", "an unreadable message", "a position", "an unreadable answer", "a standstill"],
)
def test_recording_is_refused_inside_a_transaction(listener, record):
    lease = lease_of(listener)

    with transaction.atomic(), pytest.raises(RuntimeError, match=REFUSED):
        record(listener, lease)


@pytest.mark.parametrize(
    "write",
    [
        lambda ids: Delivery.objects.mark_queued({0: ids}, NOW),
        Delivery.objects.unmark_queued,
        Delivery.objects.set_aside,
        lambda ids: Delivery.objects.claim_sending(ids, NOW),
        lambda ids: Delivery.objects.mark_sent(ids, NOW),
        lambda ids: Delivery.objects.give_back(dict.fromkeys(ids, 1), paused=False),
        claim,
    ],
    ids=["queued", "not queued", "set aside", "sending", "sent", "given back", "claimed"],
)
def test_a_delivery_changes_its_state_in_a_transaction_of_its_own(listener, write):
    ids = deliver(listener, "tests.write_groups", 2)

    with transaction.atomic(), pytest.raises(RuntimeError, match=REFUSED):
        write(ids)


@pytest.mark.parametrize("outcome", [Succeeded(), Failed("no")], ids=["success", "failure"])
def test_runs_are_settled_in_a_transaction_of_their_own(listener, outcome):
    ends = ended(claim(deliver(listener, "tests.write_groups", 2)), outcome)

    with transaction.atomic(), pytest.raises(RuntimeError, match=REFUSED):
        settle_runs(ends)


def test_an_atomic_handler_is_not_run_inside_a_transaction(listener):
    """The caller's rollback would undo the handler's writes, but not its delivery's success."""
    ids = deliver(listener, "tests.write_group", 1)

    with transaction.atomic(), pytest.raises(RuntimeError, match=REFUSED):
        run_deliveries(ids, "tests.write_group")
