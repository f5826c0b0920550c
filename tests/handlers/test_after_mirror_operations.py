"""Deliveries that wait for a mirror: their mapping is paused, changed or deleted; gap events;
redeliveries."""

import pytest
from django.db import transaction
from django.utils import timezone

from audit.models import AuditLogEntry, AuditLogFilter
from consumer import relay
from handlers.mappings.retarget import move_waiting
from handlers.models import Delivery, HandlerMapping
from handlers.ordering.read_records import release_gaps
from handlers.redelivery.request import RedeliveryRequest, request_matching
from handlers.reporting.wait_reason import waits_for
from mirror.apply import release
from tests.mirrored import (
    BEHIND,
    LATE,
    MIRROR,
    RECORD,
    RELEASED,
    WAITING,
    dirty,
    end_mirror,
    entries_of,
    followers,
    make_follower,
    make_mirror,
    record,
    run_followers,
    states_of_followers,
    update,
)
from tests.redelivering import redeliver
from tests.running import run_delivery
from tests.sample_data import ANN, change, make_mapping

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "journal"),
]


def test_a_paused_handler_starts_neither_before_nor_after_the_release(followed):
    HandlerMapping.objects.filter(after="mirror").update(paused_at=timezone.now())
    record(followed, update())
    assert states_of_followers() == [WAITING]

    release.release_applied(entries_of(*followers()))

    [delivery] = followers()
    assert (delivery.state, delivery.paused) == ("ready", True)
    HandlerMapping.objects.update(paused_at=None)
    relay.publish_due(timezone.now())
    assert states_of_followers() == [RELEASED]


def test_deliveries_of_a_deleted_mapping_are_skipped_without_the_mirror(followed):
    record(followed, update())
    HandlerMapping.objects.filter(after="mirror").delete()

    relay.sweep(timezone.now())

    [delivery] = Delivery.objects.filter(handler="tests.note_record")
    assert (delivery.state, delivery.awaits_mirror) == ("skipped", False)
    assert delivery.error == "its handler mapping was deleted"


def test_deliveries_that_move_to_another_handler_wait_on(followed):
    record(followed, update())
    mapping = HandlerMapping.objects.get(after="mirror")
    mapping.handler = "tests.remember"
    with transaction.atomic():
        mapping.save()
        move_waiting(mapping, timezone.now())

    assert states_of_followers() == [WAITING]
    release.release_applied(entries_of(*followers()))
    assert [(one.handler, one.state) for one in followers()] == [("tests.remember", "queued")]


def test_deliveries_that_move_to_an_external_task_wait_on(followed):
    record(followed, update())
    mapping = HandlerMapping.objects.get(after="mirror")
    mapping.handler, mapping.task, mapping.track = "", "shop.sync", False
    with transaction.atomic():
        mapping.save()
        move_waiting(mapping, timezone.now())

    assert states_of_followers() == [WAITING]
    release.release_applied(entries_of(*followers()))
    assert states_of_followers() == [("sent", False)]


def test_waiting_deliveries_of_a_mapping_wait_for_the_mirror_once_it_says_so(listener, mirror):
    mapping = make_mapping(listener, "update", "tests.note_record")
    record(listener, update(), update(records=["001000000000002AAA"]), update())
    first = Delivery.objects.filter(mapping=mapping).order_by("id")[0]
    end_mirror(entry__record_id="001000000000002AAA")
    mapping.after = "mirror"

    with transaction.atomic():
        mapping.save()
        move_waiting(mapping, timezone.now())

    assert states_of_followers() == [WAITING, RELEASED, WAITING]
    assert run_delivery(first.pk) == "not claimed"
    release.release_applied(entries_of(*followers()))
    assert states_of_followers() == [RELEASED, RELEASED, BEHIND]


def test_a_delivery_that_is_retried_waits_for_the_mirror_once_its_mapping_says_so(listener, mirror):
    mapping = make_mapping(listener, "update", "tests.fail")
    record(listener, update())
    run_delivery(Delivery.objects.get(mapping=mapping).pk)
    mapping.after = "mirror"

    with transaction.atomic():
        mapping.save()
        move_waiting(mapping, timezone.now())

    assert states_of_followers() == [WAITING]


def test_deliveries_that_move_to_another_lane_wait_on(listener, mirror):
    other = make_mapping(listener, "update", "tests.skip", changed_fields=["Name"])
    make_follower(listener)
    record(listener, update())
    [before] = followers()
    HandlerMapping.objects.filter(pk=other.pk).update(handler="tests.note_record")

    record(listener, update())

    first, _ = followers()
    assert first.chain != before.chain
    assert states_of_followers() == [WAITING, WAITING]
    release.release_applied(entries_of(*followers()))
    assert states_of_followers() == [RELEASED, BEHIND]


def test_a_halting_dead_letter_holds_back_what_the_mirror_released(listener, mirror):
    make_follower(listener, on_dead="halt")
    record(listener, update(), update())
    first, second = followers()
    Delivery.objects.filter(pk=first.pk).update(state="dead", halts=True, awaits_mirror=False)

    release.release_applied(entries_of(second))

    assert states_of_followers() == [("dead", False), BEHIND]


def test_a_gap_event_waits_for_its_record_and_then_for_the_mirror(make_listener):
    listener = make_listener(gap_policy="fetch")
    make_mirror(listener)
    make_follower(listener)
    record(listener, change("GAP_UPDATE"))
    [delivery] = followers()
    assert (delivery.awaits_record, delivery.awaits_mirror) == (True, True)
    assert waits_for(delivery).reason == "It waits until its record is read from Salesforce."

    with transaction.atomic():
        assert delivery.pk not in release_gaps({delivery.entry_id: delivery.entry}, timezone.now())
    delivery.refresh_from_db()
    assert (delivery.awaits_record, delivery.awaits_mirror) == (False, True)
    assert waits_for(delivery).reason.startswith("It waits for the mirror of Account")
    release.release_applied(entries_of(delivery))
    assert states_of_followers() == [RELEASED]


@pytest.mark.parametrize("ordering", ["per_record", "unordered"])
def test_a_gap_event_that_the_mirror_released_still_waits_for_its_record(make_listener, ordering):
    listener = make_listener(gap_policy="fetch")
    make_mirror(listener)
    make_follower(listener, ordering=ordering)
    record(listener, change("GAP_UPDATE"))
    [delivery] = followers()

    release.release_applied(entries_of(delivery))
    assert states_of_followers() == [BEHIND]

    with transaction.atomic():
        assert delivery.pk in release_gaps({delivery.entry_id: delivery.entry}, timezone.now())


def test_a_gap_event_whose_record_is_gone_is_skipped_without_the_mirror(make_listener):
    listener = make_listener(gap_policy="fetch")
    make_mirror(listener)
    make_follower(listener)
    record(listener, change("GAP_UPDATE"))

    with transaction.atomic():
        release_gaps({followers()[0].entry_id: "it no longer exists"}, timezone.now())

    assert states_of_followers() == [("skipped", False)]


def test_changes_that_a_reading_contains_are_skipped_without_the_mirror(make_listener):
    listener = make_listener(gap_policy="fetch")
    make_mirror(listener)
    make_follower(listener)
    record(listener, change("GAP_UPDATE"), update())
    gap, _ = followers()
    AuditLogEntry.objects.filter(pk=gap.entry_id).update(as_of=LATE, read_at=LATE)
    gap.entry.refresh_from_db()

    with transaction.atomic():
        release_gaps({gap.entry_id: gap.entry}, timezone.now())

    assert states_of_followers() == [WAITING, ("skipped", False)]


@pytest.fixture
def again():
    def again(*deliveries, **wanted):
        rows = Delivery.objects.filter(pk__in=[one.pk for one in deliveries])
        return redeliver(RedeliveryRequest(ANN, rows, **wanted), timezone.now())

    return again


def test_a_redelivery_starts_at_once_where_the_mirror_has_the_change(followed, again):
    record(followed, update())
    end_mirror()
    release.release_applied(entries_of(*followers()))
    run_followers()

    again(*followers())

    assert states_of_followers() == [RELEASED]


def test_a_redelivery_waits_while_the_mirror_applies_the_change_again(followed, again):
    record(followed, update())
    end_mirror()
    release.release_applied(entries_of(*followers()))
    run_followers()

    Delivery.objects.filter(**MIRROR).update(state="ready")
    again(*followers())

    assert states_of_followers() == [WAITING]
    end_mirror()
    release.release_overdue()
    assert states_of_followers() == [RELEASED]


def test_a_redelivery_waits_for_a_record_that_is_to_be_read(followed, again, mirror):
    record(followed, update())
    end_mirror()
    release.release_applied(entries_of(*followers()))
    run_followers()
    row = dirty(mirror)

    again(*followers())

    assert states_of_followers() == [WAITING]
    release.release_read(mirror, {RECORD: row.since})
    assert states_of_followers() == [RELEASED]


def test_a_redelivery_to_a_new_handler_starts_where_the_mirror_has_the_change(listener, mirror):
    record(listener, update(), update())
    first = Delivery.objects.filter(**MIRROR).order_by("id")[0]
    end_mirror(entry=first.entry_id)
    make_follower(listener, ordering="unordered")
    request = request_matching(AuditLogFilter(handler="tests.note_record"), ANN, new_handlers=True)

    redeliver(request, timezone.now())

    assert states_of_followers() == [RELEASED, WAITING]
