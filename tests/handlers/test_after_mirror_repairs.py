"""Deliveries that wait for a mirror are released after a crash, and their wait reason names it."""

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from consumer import relay
from handlers.models import Delivery, HandlerMapping
from handlers.ordering import await_mirror
from handlers.reporting.wait_reason import waits_for
from mirror.apply import release
from tests.mirrored import (
    LATE,
    MIRROR,
    RECORD,
    RELEASED,
    WAITING,
    dirty,
    end_mirror,
    entries_of,
    followers,
    record,
    states_of_followers,
    update,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker", "journal")]


def test_the_relay_releases_what_a_process_that_died_has_left(followed):
    record(followed, update())
    release.release_overdue()
    assert states_of_followers() == [WAITING]

    end_mirror()
    release.release_overdue()

    assert states_of_followers() == [RELEASED]


def test_the_relay_releases_nothing_of_a_record_that_is_to_be_read(followed, mirror):
    record(followed, update())
    end_mirror()
    row = dirty(mirror)

    release.release_overdue()
    assert states_of_followers() == [WAITING]

    row.delete()
    release.release_overdue()
    assert states_of_followers() == [RELEASED]


def test_a_change_that_the_mirror_skips_waits_for_the_earlier_one_that_contains_it(followed):
    record(followed, update(), update())
    end_mirror("skipped", entry=followers()[1].entry_id)

    release.release_overdue()

    assert states_of_followers() == [WAITING, WAITING]


def test_a_change_that_the_mirror_never_got_is_released(followed):
    record(followed, update())
    Delivery.objects.filter(**MIRROR).delete()

    release.release_overdue()

    assert states_of_followers() == [RELEASED]


def test_a_mapping_that_no_longer_runs_after_the_mirror_waits_no_more(followed):
    record(followed, update())
    HandlerMapping.objects.filter(after="mirror").update(after="")

    relay.sweep(timezone.now())

    assert Delivery.objects.get(handler="tests.note_record").state == "queued"


def test_a_dead_delivery_of_the_mirror_holds_back_the_change_and_later_ones(followed):
    record(followed, update(), update())
    first, second = followers()
    end_mirror("dead", entry=first.entry_id)
    end_mirror("succeeded", entry=second.entry_id)

    release.release_applied(entries_of(second))
    release.release_overdue()

    assert states_of_followers() == [WAITING, WAITING]
    dead = Delivery.objects.get(**MIRROR, entry=first.entry_id)
    for one in (first, second):
        wait = waits_for(one)
        assert wait.delivery == dead.pk
        assert wait.reason == (
            f"It waits for the mirror of Account, whose delivery {dead.pk} failed for good: "
            "the record is read instead."
        )


def test_a_reading_of_the_record_makes_up_for_the_dead_delivery(followed, mirror):
    record(followed, update())
    end_mirror("dead")

    release.release_read(mirror, {RECORD: LATE})

    assert states_of_followers() == [RELEASED]


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
        "It waits for the mirror of Account, "
        "which has just applied the change or reads the record from Salesforce."
    )

    release.release_applied(entries_of(second))
    second.refresh_from_db()
    assert waits_for(second).reason == (
        f"It waits for delivery {first.pk}, which waits for the mirror of Account."
    )


def test_a_release_that_the_database_refuses_is_left_to_the_relay(followed, monkeypatch):
    record(followed, update())
    monkeypatch.setattr(release, "RETRY_SECONDS", 0.0)

    def refuse(execute, sql, params, many, context):
        if sql.startswith("UPDATE") and "awaits_mirror" in sql:
            raise OperationalError("no space left on the disk")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        release.release_applied(entries_of(*followers()))

    assert states_of_followers() == [WAITING]
    end_mirror()
    release.release_overdue()
    assert states_of_followers() == [RELEASED]


def test_a_mirror_that_was_removed_holds_nothing_back(followed):
    record(followed, update())
    end_mirror("dead")
    HandlerMapping.objects.filter(managed=True).delete()

    release.release_overdue()

    assert states_of_followers() == [RELEASED]


def test_a_round_examines_a_limited_number_and_the_next_goes_on(followed, mirror, monkeypatch):
    monkeypatch.setattr(await_mirror, "ROWS", 2)
    monkeypatch.setattr(await_mirror, "PAGES", 1)
    records = [f"00100000000000{n}AAA" for n in range(5)]
    record(followed, *[update(records=[one]) for one in records])
    end_mirror()
    for one in records[:4]:
        dirty(mirror, record_id=one)

    for _ in range(3):
        release.release_overdue()

    assert states_of_followers() == [*[WAITING] * 4, RELEASED]
