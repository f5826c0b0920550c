"""`after: mirror`: a handler runs once the mirror has applied the change."""

import pytest
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from audit.models import AuditLogEntry, AuditLogFilter
from consumer import relay
from handlers.mappings.retarget import move_waiting
from handlers.models import Delivery, HandlerMapping
from handlers.ordering.read_records import end_waiting
from handlers.redelivery.request import RedeliveryRequest, request_matching
from handlers.reporting.wait_reason import waits_for
from mirror import service
from mirror.apply import release
from mirror.models import DirtyRow
from tests.mirrored import (
    AFTER,
    MIRROR,
    RECORD,
    end_mirror,
    entries_of,
    followers,
    make_follower,
    make_mirror,
    make_row,
    record,
    run_followers,
    states_of_followers,
)
from tests.redelivering import redeliver
from tests.running import run_delivery
from tests.sample_data import ANN, change, make_mapping
from tests.sample_handlers import read_journal

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker", "journal")]

LATE = 1_900_000_000_000
WAITING, RELEASED, BEHIND = ("blocked", True), ("queued", False), ("blocked", False)


@pytest.fixture
def mirror(listener):
    return make_mirror(listener)


@pytest.fixture
def followed(listener, mirror):
    """A listener with a mirror, and a handler of updates that runs after it."""
    make_follower(listener)
    return listener


def update(**fields):
    return change("UPDATE", data={"Phone": "42"}, **fields)


def dirty(mirror, since=LATE):
    return DirtyRow.objects.create(
        mirror=mirror, record_id=RECORD, since=since, reason="partial", due_at=timezone.now()
    )


# Waiting and release


def test_a_delivery_waits_until_the_mirror_has_applied_its_change(followed):
    record(followed, update())
    assert states_of_followers() == [WAITING]

    release.applied(entries_of(*followers()))

    assert states_of_followers() == [RELEASED]


def test_the_mirror_itself_and_other_handlers_do_not_wait(followed):
    make_mapping(followed, "update", "tests.remember")

    record(followed, update())

    others = Delivery.objects.exclude(**AFTER)
    assert others.count() == 2
    assert not others.filter(state="blocked").exists()


def test_deliveries_of_one_record_are_released_in_order(followed):
    record(followed, update(), update())
    first, second = followers()

    release.applied(entries_of(second))
    assert states_of_followers() == [WAITING, BEHIND]

    release.applied(entries_of(first))
    assert states_of_followers() == [RELEASED, BEHIND]
    run_followers()
    assert [one.state for one in followers()] == ["succeeded", "succeeded"]


def test_a_delivery_that_waits_holds_its_place_before_later_ones_of_its_chain(listener, mirror):
    make_follower(listener, "update", "tests.remember")
    make_mapping(listener, "delete", "tests.remember")  # in the same lane, and not after the mirror

    record(listener, update(), change("DELETE"))

    deletion = Delivery.objects.get(handler="tests.remember", entry__change_type="DELETE")
    assert (deletion.state, deletion.awaits_mirror) == BEHIND
    relay.promote_stranded()
    deletion.refresh_from_db()
    assert deletion.state == "blocked"


def test_a_release_can_be_repeated(followed):
    record(followed, update())
    for _ in range(2):
        release.applied(entries_of(*followers()))
    run_followers()

    release.applied(entries_of(*followers()))

    assert [one.state for one in followers()] == ["succeeded"]


def test_a_record_that_was_read_releases_what_was_committed_before_the_reading(followed, mirror):
    record(followed, update(commitTimestamp=1_000), update(commitTimestamp=5_000))

    release.read(mirror, {RECORD: 4_999})
    assert states_of_followers() == [RELEASED, WAITING]

    release.read(mirror, {RECORD: 5_000})
    assert states_of_followers() == [RELEASED, BEHIND]


def test_an_unordered_handler_waits_too(listener, mirror):
    make_follower(listener, ordering="unordered")
    record(listener, update(), update())

    release.applied(entries_of(followers()[1]))

    assert states_of_followers() == [WAITING, RELEASED]


def test_an_external_task_is_sent_after_the_mirror(listener, mirror):
    make_follower(listener, handler="", task="shop.sync", queue="shop")
    record(listener, update())
    assert states_of_followers() == [WAITING]

    release.applied(entries_of(*followers()))

    assert states_of_followers() == [("sent", False)]


def test_an_ignored_change_is_skipped_at_once(listener, mirror):
    make_follower(listener, ignore_users=["005000000000001AAA"])

    record(listener, update())

    assert states_of_followers() == [("skipped", False)]


def test_a_mapping_of_all_entities_waits_for_mirrored_ones_only(listener, mirror):
    make_follower(listener, entity="*")

    record(listener, update(), update(entity="Contact", records=["003000000000001AAA"]))

    assert states_of_followers() == [WAITING, RELEASED]


# The repair in the relay's round


def test_the_relay_releases_what_a_process_that_died_has_left(followed):
    record(followed, update())
    relay.release_mirrored(timezone.now())
    assert states_of_followers() == [WAITING]

    end_mirror()
    relay.release_mirrored(timezone.now())

    assert states_of_followers() == [RELEASED]


def test_the_relay_releases_nothing_of_a_record_that_is_to_be_read(followed, mirror):
    record(followed, update())
    end_mirror()
    row = dirty(mirror)

    relay.release_mirrored(timezone.now())
    assert states_of_followers() == [WAITING]

    row.delete()
    relay.release_mirrored(timezone.now())
    assert states_of_followers() == [RELEASED]


def test_a_change_that_the_mirror_skips_waits_for_the_earlier_one_that_contains_it(followed):
    record(followed, update(), update())
    end_mirror("skipped", entry=followers()[1].entry_id)

    relay.release_mirrored(timezone.now())

    assert states_of_followers() == [WAITING, WAITING]


def test_a_change_that_the_mirror_never_got_is_released(followed):
    record(followed, update())
    Delivery.objects.filter(**MIRROR).delete()

    relay.release_mirrored(timezone.now())

    assert states_of_followers() == [RELEASED]


def test_a_mapping_that_no_longer_runs_after_the_mirror_waits_no_more(followed):
    record(followed, update())
    HandlerMapping.objects.filter(after="mirror").update(after="")

    relay.sweep(timezone.now())

    assert Delivery.objects.get(handler="tests.note_record").state == "queued"


# A mirror's dead delivery


def test_a_dead_delivery_of_the_mirror_holds_back_the_change_and_later_ones(followed):
    record(followed, update(), update())
    first, second = followers()
    end_mirror("dead", entry=first.entry_id)
    end_mirror("succeeded", entry=second.entry_id)

    release.applied(entries_of(second))
    relay.release_mirrored(timezone.now())

    assert states_of_followers() == [WAITING, WAITING]
    dead = Delivery.objects.get(**MIRROR, entry=first.entry_id)
    for one in (first, second):
        wait = waits_for(one)
        assert wait.delivery == dead.pk
        assert wait.reason == (
            f"It waits for the mirror of Account, whose delivery {dead.pk} failed for good: "
            "redeliver that one."
        )


def test_a_reading_of_the_record_makes_up_for_the_dead_delivery(followed, mirror):
    record(followed, update())
    end_mirror("dead")

    release.read(mirror, {RECORD: LATE})

    assert states_of_followers() == [RELEASED]


# Reasons


def test_the_reason_names_the_mirror(followed, mirror):
    record(followed, update(), update())
    first, second = followers()
    one = Delivery.objects.filter(**MIRROR).order_by("id").first()
    assert waits_for(first).reason == (
        f"It waits for the mirror of Account, whose delivery {one.pk} has not ended."
    )

    end_mirror()
    dirty(mirror)
    assert waits_for(first).reason == (
        "It waits for the mirror of Account, which reads the record from Salesforce."
    )

    release.applied(entries_of(second))
    second.refresh_from_db()
    assert waits_for(second).reason == (
        f"It waits for delivery {first.pk}, which waits for the mirror of Account."
    )


# Pauses, deletion, change of handler, halting, gaps


def test_a_paused_handler_starts_neither_before_nor_after_the_release(followed):
    HandlerMapping.objects.filter(after="mirror").update(paused_at=timezone.now())
    record(followed, update())
    assert states_of_followers() == [WAITING]

    release.applied(entries_of(*followers()))

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
    mapping.save()
    move_waiting(mapping, timezone.now())

    assert states_of_followers() == [WAITING]
    release.applied(entries_of(*followers()))
    assert [(one.handler, one.state) for one in followers()] == [("tests.remember", "queued")]


def test_deliveries_that_move_to_an_external_task_wait_on(followed):
    record(followed, update())
    mapping = HandlerMapping.objects.get(after="mirror")
    mapping.handler, mapping.task = "", "shop.sync"
    mapping.save()
    move_waiting(mapping, timezone.now())

    assert states_of_followers() == [WAITING]
    release.applied(entries_of(*followers()))
    assert states_of_followers() == [("sent", False)]


def test_deliveries_that_move_to_another_lane_wait_on(listener, mirror):
    other = make_mapping(listener, "create", "tests.note_record")
    make_follower(listener)
    record(listener, update())
    [before] = followers()
    other.delete()

    record(listener, update())

    first, _ = followers()
    assert first.chain != before.chain
    assert states_of_followers() == [WAITING, WAITING]
    release.applied(entries_of(*followers()))
    assert states_of_followers() == [RELEASED, BEHIND]


def test_a_halting_dead_letter_holds_back_what_the_mirror_released(listener, mirror):
    make_follower(listener, on_dead="halt")
    record(listener, update(), update())
    first, second = followers()
    Delivery.objects.filter(pk=first.pk).update(state="dead", halts=True, awaits_mirror=False)

    release.applied(entries_of(second))

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
        assert delivery.pk not in end_waiting({delivery.entry_id: delivery.entry}, timezone.now())
    delivery.refresh_from_db()
    assert (delivery.awaits_record, delivery.awaits_mirror) == (False, True)
    assert waits_for(delivery).reason.startswith("It waits for the mirror of Account")
    release.applied(entries_of(delivery))
    assert states_of_followers() == [RELEASED]


@pytest.mark.parametrize("ordering", ["per_record", "unordered"])
def test_a_gap_event_that_the_mirror_released_still_waits_for_its_record(make_listener, ordering):
    listener = make_listener(gap_policy="fetch")
    make_mirror(listener)
    make_follower(listener, ordering=ordering)
    record(listener, change("GAP_UPDATE"))
    [delivery] = followers()

    release.applied(entries_of(delivery))
    assert states_of_followers() == [BEHIND]

    with transaction.atomic():
        assert delivery.pk in end_waiting({delivery.entry_id: delivery.entry}, timezone.now())


def test_a_gap_event_whose_record_is_gone_is_skipped_without_the_mirror(make_listener):
    listener = make_listener(gap_policy="fetch")
    make_mirror(listener)
    make_follower(listener)
    record(listener, change("GAP_UPDATE"))

    with transaction.atomic():
        end_waiting({followers()[0].entry_id: "it no longer exists"}, timezone.now())

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
        end_waiting({gap.entry_id: gap.entry}, timezone.now())

    assert states_of_followers() == [WAITING, ("skipped", False)]


# Redelivery


@pytest.fixture
def again():
    def again(*deliveries, **wanted):
        rows = Delivery.objects.filter(pk__in=[one.pk for one in deliveries])
        return redeliver(RedeliveryRequest(ANN, rows, **wanted), timezone.now())

    return again


def test_a_redelivery_starts_at_once_where_the_mirror_has_the_change(followed, again):
    record(followed, update())
    end_mirror()
    release.applied(entries_of(*followers()))
    run_followers()

    again(*followers())

    assert states_of_followers() == [RELEASED]


def test_a_redelivery_waits_while_the_mirror_applies_the_change_again(followed, again):
    record(followed, update())
    end_mirror()
    release.applied(entries_of(*followers()))
    run_followers()

    Delivery.objects.filter(**MIRROR).update(state="ready")
    again(*followers())

    assert states_of_followers() == [WAITING]
    end_mirror()
    relay.release_mirrored(timezone.now())
    assert states_of_followers() == [RELEASED]


def test_a_redelivery_waits_for_a_record_that_is_to_be_read(followed, again, mirror):
    record(followed, update())
    end_mirror()
    release.applied(entries_of(*followers()))
    run_followers()
    row = dirty(mirror)

    again(*followers())

    assert states_of_followers() == [WAITING]
    release.read(mirror, {RECORD: row.since})
    assert states_of_followers() == [RELEASED]


def test_a_redelivery_to_a_new_handler_starts_where_the_mirror_has_the_change(listener, mirror):
    record(listener, update(), update())
    first = Delivery.objects.filter(**MIRROR).order_by("id")[0]
    end_mirror(entry=first.entry_id)
    make_follower(listener, ordering="unordered")
    request = request_matching(AuditLogFilter(), ANN, new_handlers=True)

    redeliver(request, timezone.now())

    assert states_of_followers() == [RELEASED, WAITING]


# Failures and the mirror


def test_a_handler_that_fails_never_holds_up_the_mirror(listener, mirror):
    make_follower(listener, handler="tests.fail", on_dead="halt", max_attempts=1)
    record(listener, update(), update())
    first, _ = followers()
    release.applied(entries_of(first))
    run_followers()
    assert [one.state for one in followers()] == ["dead", "blocked"]

    record(listener, update())

    chain = Delivery.objects.filter(**MIRROR)
    assert chain.values("chain").distinct().count() == 1
    assert not set(chain.values_list("chain", flat=True)) & {one.chain for one in followers()}
    assert chain.order_by("id").first().state in ("ready", "queued")


# Configuration


@pytest.mark.parametrize(
    ("entity", "message"),
    [
        ("Contact", "no mirror of Contact. Add one with `manage.py mirror add`"),
        ("*", "no mirror. Add one"),
    ],
)
def test_a_mapping_after_a_mirror_that_is_not_there_is_refused(listener, entity, message):
    mapping = HandlerMapping(
        listener=listener, on="update", entity=entity, handler="tests.remember", after="mirror"
    )
    with pytest.raises(ValidationError) as refused:
        mapping.full_clean()
    assert message in refused.value.message_dict["after"][0]


@pytest.mark.parametrize("entity", ["Account", "*"])
def test_a_mapping_after_a_mirror_is_accepted(listener, mirror, entity):
    HandlerMapping(
        listener=listener, on="update", entity=entity, handler="tests.remember", after="mirror"
    ).full_clean()


def test_the_error_names_what_is_mirrored(listener, mirror):
    mapping = HandlerMapping(
        listener=listener, on="update", entity="Lead", handler="tests.remember", after="mirror"
    )
    with pytest.raises(ValidationError, match="Mirrored: Account"):
        mapping.full_clean()


def test_a_mapping_without_a_handler_has_nothing_to_run_after_the_mirror(listener, mirror):
    with pytest.raises(ValidationError, match="Choose a handler or a task"):
        HandlerMapping(
            listener=listener, on="update", entity="Account", after="mirror"
        ).full_clean()


def test_a_mirror_that_handlers_run_after_is_not_removed(followed, mirror):
    with pytest.raises(service.Refused, match="run after the mirror"):
        service.remove(mirror, ANN)


# The row


def test_the_handler_gets_the_row(followed):
    make_row(name="Acme")
    record(followed, update())
    release.applied(entries_of(*followers()))

    run_followers()

    [line] = read_journal()
    assert line["row"] == {"name": "Acme", "is_deleted": False}


def test_the_row_of_a_deleted_record_is_its_tombstone(listener, mirror):
    make_follower(listener, "delete")
    make_row(name="Acme", is_deleted=True)
    record(listener, change("DELETE"))
    release.applied(entries_of(*followers()))

    run_followers()

    assert read_journal()[0]["row"] == {"name": "Acme", "is_deleted": True}


def test_without_a_row_the_record_is_none(followed):
    record(followed, update())
    release.applied(entries_of(*followers()))

    run_followers()

    assert read_journal()[0]["row"] is None


def test_a_handler_that_does_not_run_after_the_mirror_is_told_what_to_set(listener, mirror):
    make_mapping(listener, "update", "tests.note_record", max_attempts=1)
    record(listener, update())

    delivery = Delivery.objects.get(handler="tests.note_record")
    run_delivery(delivery.pk)

    delivery.refresh_from_db()
    assert delivery.state == "dead"
    assert "Set `after: mirror`" in delivery.error
