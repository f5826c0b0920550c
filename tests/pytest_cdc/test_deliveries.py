"""Deliveries that the pytest plugin makes: to handlers of its user, through the product's path."""

import pytest
from django.utils import timezone

from audit.actions import Actor, Through
from handlers import EventData, pausing
from handlers.models import Delivery
from pytest_cdc.delivered import NothingToDo
from pytest_cdc.mappings import CannotDeliver
from tests.pytest_cdc.handlers import CALLS, as_told, batch_as_told


def test_a_handler_that_returns_has_succeeded(cdc_event, cdc_deliver):
    event = cdc_event("Account", "update", changed={"Name": "New"})

    delivered = cdc_deliver(event, to=as_told, options={"a": 1})

    assert delivered.succeeded
    assert (delivered.state, delivered.error, delivered.reason) == ("succeeded", "", "")
    assert delivered.outcomes == ["succeeded"]
    [got] = CALLS
    assert (got.id, got.changed_data, got.attempt) == (event.id, event.changed_data, 1)
    assert got.options == {"a": 1}


def test_one_that_has_nothing_to_do_says_why(cdc_event, cdc_deliver):
    delivered = cdc_deliver(cdc_event("Account", changed={"Do": "skip"}), to=as_told)

    assert delivered.skipped
    assert (delivered.reason, delivered.error) == ("nothing to do", "")


def test_a_retry_waits_for_its_time(cdc_event, cdc_deliver):
    delivered = cdc_deliver(cdc_event("Account", changed={"Do": "retry"}), to=as_told)

    assert delivered.retrying
    assert (delivered.delay, delivered.error) == (60, "not yet")
    cdc_deliver.after(seconds=59.999)
    assert (delivered.retrying, delivered.delay) == (True, 0.001)
    cdc_deliver.after(seconds=0.001)
    assert delivered.succeeded
    assert delivered.outcomes == ["retry", "succeeded"]
    assert [one.attempt for one in CALLS] == [1, 2]


def test_a_failure_is_tried_until_it_is_dead_and_can_be_sent_again(cdc_event, cdc_deliver):
    event = cdc_event("Account", changed={"Do": "fail"})
    delivered = cdc_deliver(event, to=as_told, max_attempts=2)

    assert delivered.retrying
    assert delivered.error == "ValueError: no such account"
    assert "in as_told" in delivered.traceback
    assert repr(delivered).endswith(" s: ValueError: no such account>")
    assert delivered.again().dead
    with pytest.raises(NothingToDo, match="there is no next attempt"):
        delivered.again()
    assert delivered.redeliver().retrying
    assert delivered.until_ended().dead
    assert delivered.outcomes == ["failed"] * 4


def test_one_that_is_paused_has_no_next_attempt(cdc_event, cdc_deliver):
    delivered = cdc_deliver(cdc_event("Account", changed={"Do": "retry"}), to=as_told)
    pausing.pause(delivered.mapping, Actor("ann", Through.COMMAND), "", timezone.now())

    with pytest.raises(NothingToDo, match="its mapping is paused"):
        delivered.until_ended()
    assert delivered.outcomes == ["retry"]


def test_the_next_change_of_a_record_waits_for_the_one_before_it(cdc_event, cdc_deliver):
    created = cdc_event("Account", changed={"Do": "retry"})
    record = created.metadata.record_id
    updated = cdc_event("Account", "update", record_id=record, changed={"Name": "New"})

    first, second = cdc_deliver([created, updated], to=as_told)

    assert (first.retrying, second.blocked) == (True, True)
    cdc_deliver.again()
    assert (first.succeeded, second.succeeded) == (True, True)
    assert [one.metadata.change_type for one in CALLS] == ["CREATE", "CREATE", "UPDATE"]


def test_so_does_one_that_is_delivered_later(cdc_event, cdc_deliver):
    created = cdc_event("Account", changed={"Do": "retry"})
    record = created.metadata.record_id
    cdc_deliver(created, to=as_told)

    later = cdc_deliver(cdc_event("Account", "delete", record_id=record), to=as_told)

    assert later.blocked


def test_a_batch_handler_gets_a_list_and_fails_for_some(cdc_event, cdc_deliver):
    events = [cdc_event("Account", changed={"Do": "fail" if n == 1 else ""}) for n in range(4)]

    delivered = cdc_deliver(events, to=batch_as_told)

    assert [one.state for one in delivered] == ["succeeded", "retrying", "succeeded", "succeeded"]
    assert [len(batch) for batch in CALLS] == [3, 1]
    cdc_deliver.again()
    assert delivered[1].dead
    assert len(CALLS[-1]) == 1


def test_those_that_a_batch_tells_to_wait_do(cdc_event, cdc_deliver):
    events = [cdc_event("Account", changed={"Do": told}) for told in ("wait", "")]

    waiting, _ = cdc_deliver(events, to=batch_as_told)

    assert (waiting.retrying, waiting.delay) == (True, 60)
    cdc_deliver.after(seconds=59)
    assert waiting.retrying
    cdc_deliver.after(seconds=1)
    assert waiting.dead


def test_a_single_change_is_a_list_of_one_to_it(cdc_event, cdc_deliver):
    assert cdc_deliver(cdc_event("Account"), to=batch_as_told).succeeded
    assert [len(batch) for batch in CALLS] == [1]


def test_a_gap_event_itself_is_delivered(cdc_event, cdc_deliver):
    assert cdc_deliver(cdc_event("Account", "GAP_UPDATE"), to=as_told).succeeded
    assert CALLS[0].metadata.change_type == "GAP_UPDATE"


@pytest.mark.parametrize("source", ["gap", "reconcile"])
def test_so_is_what_was_read(cdc_event, cdc_deliver, source):
    event = cdc_event("Account", "update", changed={"Name": "A"}, source=source)

    assert cdc_deliver(event, to=as_told).succeeded
    assert CALLS[0].changed_data["Name"] == "A"


def test_a_change_that_was_delivered_is_not_delivered_anew(cdc_event, cdc_deliver):
    event = cdc_event("Account")
    cdc_deliver(event, to=as_told)

    with pytest.raises(CannotDeliver, match=r"Succeeded already: .*redeliver"):
        cdc_deliver(event, to=as_told)
    assert Delivery.objects.count() == 1


def test_an_event_of_somewhere_else_is_told_apart(cdc_event, cdc_deliver):
    event = EventData(10**9, "x", "1", {}, cdc_event("Account").metadata)

    with pytest.raises(CannotDeliver, match="make events with cdc_event"):
        cdc_deliver(event, to=as_told)
