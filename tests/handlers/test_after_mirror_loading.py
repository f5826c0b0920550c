"""Handlers that run after the mirror wait for the end of its first load, also those of changes that
were queued before a further mirror was added."""

import re

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from consumer import relay
from handlers.mappings.retarget import move_waiting
from handlers.models import Delivery, HandlerMapping
from handlers.ordering import await_mirror
from handlers.reporting.wait_reason import waits_for
from handlers.sdk import mirrored
from mirror import runs, service
from mirror.apply import event_rows, release
from mirror.models import Mirror
from tests.mirror.adding import in_sync
from tests.mirrored import (
    AFTER,
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
    make_row,
    record,
    run_followers,
    states_of_followers,
    update,
)
from tests.running import run_delivery
from tests.sample_data import ANN, make_mapping

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "journal"),
]

CONTACT = "003000000000001AAA"


@pytest.fixture
def loading(listener):
    """A mirror whose first load has not ended."""
    return make_mirror(listener, is_loaded=False)


@pytest.fixture
def applied(listener, loading):
    """Deliveries after the mirror of two changes of a record, which it has applied."""
    make_follower(listener)
    record(listener, update(), update())
    end_mirror()
    release.release_applied(entries_of(*followers()))
    return loading


def test_applied_changes_wait_until_the_first_load_has_ended(applied):
    release.release_overdue()
    assert states_of_followers() == [WAITING, WAITING]

    in_sync(applied)
    release.release_after_load()

    assert states_of_followers() == [RELEASED, BEHIND]
    run_followers()
    assert [(one.state, one.attempts) for one in followers()] == [("succeeded", 1)] * 2


def test_records_that_are_read_while_the_load_runs_wait_too(applied):
    release.release_read(applied, {RECORD: LATE})

    assert states_of_followers() == [WAITING, WAITING]


def test_the_relay_releases_what_the_load_left(applied):
    in_sync(applied)

    relay.sweep(timezone.now())

    assert states_of_followers() == [RELEASED, BEHIND]


def test_a_release_that_fails_at_the_end_of_a_load_is_left_to_the_relay(applied, monkeypatch):
    in_sync(applied)

    def refuse():
        raise DatabaseError("no space left on the disk")

    with monkeypatch.context() as patch:
        patch.setattr(release, "release_overdue", refuse)
        release.release_after_load()

    assert states_of_followers() == [WAITING, WAITING]


def test_a_record_that_is_to_be_read_waits_beyond_the_load(applied):
    dirty(applied)
    in_sync(applied)

    release.release_after_load()

    assert states_of_followers() == [WAITING, WAITING]


def test_other_objects_and_a_later_load_hold_nothing_back(listener, loading):
    contacts = make_mirror(listener, "crm.Contact")
    runs.request(contacts, "load", timezone.now())
    make_follower(listener, entity="*")
    record(listener, update(), update(entity="Contact", records=[CONTACT]))
    end_mirror()

    release.release_applied(entries_of(*followers()))

    assert states_of_followers() == [WAITING, RELEASED]


def test_a_mapping_waits_for_the_load_once_it_runs_after_the_mirror(listener, loading):
    mapping = make_mapping(listener, "update", "tests.note_record")
    record(listener, update())
    end_mirror()
    mapping.after = "mirror"

    with transaction.atomic():
        mapping.save()
        move_waiting(mapping, timezone.now())

    assert states_of_followers() == [WAITING]


def test_a_mapping_that_no_longer_runs_after_the_mirror_waits_for_no_load(applied):
    HandlerMapping.objects.filter(**{"after": "mirror"}).update(after="")

    release.release_overdue()

    assert Delivery.objects.filter(handler="tests.note_record", state="queued").count() == 1


def test_the_reason_names_the_load(applied):
    first, _ = followers()
    wait = "It waits for the mirror of Account, whose first load"
    assert waits_for(first).reason == f"{wait} has not ended."

    applied.runs.update(state="failed")
    assert waits_for(first).reason == f"{wait} did not succeed: load it again."

    service.request_run(applied, "load", by=ANN)
    assert waits_for(first).reason == f"{wait} has not ended."

    in_sync(applied)
    assert "load" not in waits_for(first).reason


def test_a_load_that_failed_holds_back_until_another_succeeds(applied):
    applied.runs.update(state="failed", finished_at=timezone.now())

    release.release_overdue()
    assert states_of_followers() == [WAITING, WAITING]

    in_sync(applied)
    release.release_overdue()
    assert states_of_followers() == [RELEASED, BEHIND]


def test_a_removed_mirror_that_was_not_loaded_holds_nothing_back(listener, loading):
    make_mirror(listener, "crm.Contact")
    make_follower(listener, entity="*")
    record(listener, update())

    service.remove(loading, ANN)
    release.release_overdue()

    assert states_of_followers() == [RELEASED]


def test_changes_of_before_a_further_mirror_wait_for_its_load(listener, mirror):
    make_follower(listener, entity="*")
    record(listener, update(entity="Contact", records=[CONTACT]), update())
    record(listener, update(entity="Contact", records=[CONTACT]))
    assert states_of_followers() == [RELEASED, WAITING, BEHIND]

    contacts = make_mirror(listener, "crm.Contact", is_loaded=False)

    assert states_of_followers() == [WAITING, WAITING, WAITING]
    release.release_overdue()
    assert states_of_followers() == [WAITING, WAITING, WAITING]
    in_sync(contacts)
    release.release_after_load()
    assert states_of_followers() == [RELEASED, WAITING, BEHIND]


def test_changes_of_before_a_mirror_do_not_wait_without_a_reason(listener, mirror):
    """These are deliveries to another handler, for another object, and of another listener."""
    make_mapping(listener, "update", "tests.remember")
    make_follower(listener, entity="*")
    record(listener, update(entity="Opportunity", records=["006000000000001AAA"]))

    make_mirror(listener, "crm.Contact", is_loaded=False)

    assert states_of_followers() == [RELEASED]
    assert Delivery.objects.exclude(**AFTER).exclude(**MIRROR).filter(state="blocked").count() == 0


def test_mirrors_are_unloaded_until_their_first_load_has_ended(listener, loading):
    key = (listener.pk, "Account")
    assert mirrored.reader is event_rows
    assert event_rows.unloaded() == {key: True}

    loading.runs.update(state="cancelled")
    assert event_rows.unloaded() == {key: False}

    in_sync(Mirror.objects.get())
    assert event_rows.unloaded() == {}


def test_a_sweep_reads_no_changes_that_wait_for_the_load_of_their_mappings_object(
    listener, loading
):
    follower = make_follower(listener, entity="Account")
    record(listener, update(), update())
    end_mirror()

    with CaptureQueriesContext(connection) as queries:
        assert await_mirror.overdue() == ([], 0)

    [page] = [one["sql"] for one in queries if f"LIMIT {await_mirror.ROWS}" in one["sql"]]
    [examined] = re.findall(r'"mapping_id" IN \(([\d, ]+)\) AND "handlers_delivery"."state"', page)
    assert str(follower.pk) not in examined.split(", ")
    in_sync(loading)
    release.release_after_load()
    assert states_of_followers() == [RELEASED, BEHIND]


def test_a_mapping_that_has_another_object_now_leaves_no_change_behind(listener, loading):
    make_mirror(listener, "crm.Contact")
    make_follower(listener, entity="Contact")
    record(listener, update(entity="Contact", records=[CONTACT]))
    end_mirror()
    HandlerMapping.objects.filter(after="mirror").update(entity="Account")
    record(listener, update())

    release.release_overdue()

    assert states_of_followers() == [RELEASED, WAITING]


def test_applying_a_change_during_the_load_looks_for_no_changes_to_release(
    listener, loading, monkeypatch
):
    make_row(is_complete=True)
    make_follower(listener)
    record(listener, update())
    released = []
    monkeypatch.setattr(release, "release_applied", released.append)
    own = Delivery.objects.get(**MIRROR)

    run_delivery(own.pk)

    assert Delivery.objects.get(pk=own.pk).state == "succeeded"
    assert released == []
