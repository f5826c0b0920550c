"""Batch handlers take many changes in one call."""

from collections import Counter

import pytest
from django.utils import timezone

from consumer.ingest.transaction import ingest
from handlers.mappings import pause
from handlers.models import Delivery, DeliveryAttempt, HandlerMapping
from handlers.worker.run import run_deliveries
from tests.handlers.bundling import (
    deliver,
    ids_of,
    make_due,
    messages,
    publish,
    record_id,
    states,
)  # fmt: skip
from tests.running import run_delivery
from tests.sample_data import ANN, change, lease_of, received
from tests.sample_handlers import read_journal, written_groups

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker", "journal")]


def batches():
    """Return the numbers of events of the calls."""
    return sorted(Counter(tuple(line["batch"]) for line in read_journal()).values())


def errors():
    return dict(Delivery.objects.order_by("id").values_list("pk", "error"))


def test_a_batch_handler_gets_a_list_of_one_mappings_changes(listener):
    ids = deliver(listener, "tests.batch", 7, options={"a": 1})
    others = deliver(listener, "tests.batch", 3, options={"a": 2})

    assert run_deliveries([*ids, *others], "tests.batch") == "10 succeeded"

    assert batches() == [3, 7]
    assert {(line["attempt"], line["options"]["a"]) for line in read_journal()} == {(1, 1), (1, 2)}


def test_a_single_change_is_a_list_of_one(listener):
    [pk] = deliver(listener, "tests.batch", 1)

    assert run_delivery(pk) == "succeeded"

    assert batches() == [1]


def test_messages_name_as_many_as_the_handler_takes_and_one_mappings_only(listener):
    ids = deliver(listener, "tests.batch", 25)
    others = deliver(listener, "tests.batch", 2)

    publish([*ids, *others])

    assert messages() == [ids[:10], ids[10:20], ids[20:], others]


def test_a_message_of_more_than_the_handler_takes_is_several_batches(listener):
    ids = deliver(listener, "tests.batch", 25)

    run_deliveries(ids, "tests.batch")

    assert batches() == [5, 10, 10]


def test_a_batch_has_one_change_of_each_record_in_order(listener):
    ids = deliver(listener, "tests.batch", 3)
    mapping = HandlerMapping.objects.get()
    again = [change(records=[record_id(n)]) for n in range(3)]
    ingest(listener, lease_of(listener), received(*again), [mapping])

    run_deliveries([*ids, *ids_of(state="blocked")], "tests.batch")

    assert states() == ["succeeded"] * 6
    assert batches() == [3, 3]
    assert [line["id"] for line in read_journal()] == sorted(line["id"] for line in read_journal())


def test_skipped_is_so_for_all(listener):
    ids = deliver(listener, "tests.batch_as_told", 3, options={"all": "skip"})

    assert run_deliveries(ids, "tests.batch_as_told") == "3 skipped"

    assert set(errors().values()) == {"not today"}


@pytest.mark.parametrize(
    ("told", "outcome", "error"),
    [
        ("fail", "failed", "ValueError: all of them"),
        ("retry", "retry", "later"),
        ("stranger", "failed", "BatchFailed names events that were not in the batch: -1"),
    ],
)
def test_what_it_raises_fails_all_each_with_its_own_attempt(listener, told, outcome, error):
    ids = deliver(listener, "tests.batch_as_told", 3, options={"all": told})

    assert run_deliveries(ids, "tests.batch_as_told") == "3 failed"

    assert states() == ["retrying"] * 3
    assert set(errors().values()) == {error}
    attempts = DeliveryAttempt.objects.values_list("delivery", "number", "outcome")
    assert set(attempts) == {(pk, 1, outcome) for pk in ids}


def test_batch_failed_fails_these_and_the_others_succeed(listener):
    told = [{"Fail": how} for how in ("", "raise", "text", "retry", "skip")]
    ids = deliver(listener, "tests.batch_as_told", data=told)

    run_deliveries(ids, "tests.batch_as_told")

    assert states() == ["succeeded", "retrying", "retrying", "retrying", "skipped"]
    assert list(errors().values()) == [
        "", "ValueError: this one", "as it says", "this one later", "this one not",
    ]  # fmt: skip
    later = Delivery.objects.get(pk=ids[3])
    assert (later.due_at - timezone.now()).total_seconds() > 3000
    assert DeliveryAttempt.objects.get(delivery=ids[3]).outcome == "retry"


def test_an_empty_batch_failed_fails_no_change(listener):
    ids = deliver(listener, "tests.batch_as_told", 2)

    run_deliveries(ids, "tests.batch_as_told")

    assert states() == ["succeeded"] * 2


def test_what_failed_is_tried_again_in_smaller_company_and_alone_in_the_end(listener):
    ids = deliver(listener, "tests.batch", 10, max_attempts=4)
    for attempts, sizes in [(0, [10]), (1, [1] * 10), (3, [1] * 10)]:
        Delivery.objects.update(attempts=attempts, state="ready")
        seen = len(messages())
        publish(ids)
        assert [len(each) for each in messages()[seen:]] == sizes


def test_an_atomic_batch_commits_with_what_failed_of_it(listener):
    ids = deliver(listener, "tests.write_groups", data=[{}, {"Fail": True}, {}])

    run_deliveries(ids, "tests.write_groups")

    assert states() == ["succeeded", "retrying", "succeeded"]
    assert written_groups().count() == 2


def test_an_atomic_batch_that_raises_is_undone(listener):
    ids = deliver(listener, "tests.write_groups", 3, options={"fail": True})

    run_deliveries(ids, "tests.write_groups")

    assert states() == ["retrying"] * 3
    assert written_groups().count() == 0


def test_an_atomic_batch_that_lost_a_claim_is_undone_and_the_others_are_given_back(
    listener, monkeypatch
):
    ids = deliver(listener, "tests.write_groups", 3)
    taken = Delivery.objects.filter(pk=ids[1])
    monkeypatch.setattr(
        "listeners.crash_points.reach", lambda name: name != "claimed" or taken.update(attempts=2)
    )

    run_deliveries(ids, "tests.write_groups")

    assert written_groups().count() == 0
    assert list(Delivery.objects.order_by("id").values_list("state", "attempts")) == [
        ("queued", 0), ("running", 2), ("queued", 0),
    ]  # fmt: skip
    assert not DeliveryAttempt.objects.exists()


def test_a_batch_of_a_paused_mapping_does_not_begin(listener):
    ids = deliver(listener, "tests.batch", 3)
    pause.pause(HandlerMapping.objects.all(), ANN, "", timezone.now())

    assert run_deliveries(ids, "tests.batch") == "3 not claimed"

    assert read_journal() == []
    assert Delivery.objects.filter(paused=True, attempts=0).count() == 3


def test_a_batch_that_failed_succeeds_later_one_by_one(listener):
    ids = deliver(listener, "tests.batch_as_told", data=[{"Fail": "raise"}, {}], max_attempts=3)
    run_deliveries(ids, "tests.batch_as_told")
    Delivery.objects.update(handler="tests.batch")
    HandlerMapping.objects.update(handler="tests.batch")
    make_due()

    run_deliveries(ids, "tests.batch")

    assert states() == ["succeeded"] * 2
    assert [line["attempt"] for line in read_journal()] == [1, 1, 2]
