"""With `after: mirror` a handler runs once the mirror has applied the change, and gets its row."""

import pytest

from consumer import relay
from handlers.models import Delivery
from handlers.sdk.mirrored import Rows
from mirror.apply import event_rows, release
from tests.mirror.crm.models import Account
from tests.mirrored import (
    AFTER,
    BEHIND,
    MIRROR,
    RECORD,
    RELEASED,
    WAITING,
    entries_of,
    followers,
    make_follower,
    make_row,
    record,
    run_followers,
    states_of_followers,
    update,
)
from tests.running import run_delivery
from tests.sample_data import change, make_mapping
from tests.sample_handlers import read_journal

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "journal"),
]


def test_a_delivery_waits_until_the_mirror_has_applied_its_change(followed):
    record(followed, update())
    assert states_of_followers() == [WAITING]

    release.release_applied(entries_of(*followers()))

    assert states_of_followers() == [RELEASED]


def test_the_mirror_itself_and_other_handlers_do_not_wait(followed):
    make_mapping(followed, "update", "tests.remember")

    record(followed, update())

    others = Delivery.objects.exclude(**AFTER)
    assert others.count() == 2
    assert not others.filter(state="blocked").exists()


def test_rows_are_read_without_a_second_manager(followed, monkeypatch):
    make_row(name="Alpha", is_complete=True)
    monkeypatch.delattr(Account, "all_objects")
    rows = event_rows.rows(followed.pk, "Account", [RECORD])
    assert rows[RECORD].name == "Alpha"


def test_deliveries_of_one_record_are_released_in_order(followed):
    record(followed, update(), update())
    first, second = followers()

    release.release_applied(entries_of(second))
    assert states_of_followers() == [WAITING, BEHIND]

    release.release_applied(entries_of(first))
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
        release.release_applied(entries_of(*followers()))
    run_followers()

    release.release_applied(entries_of(*followers()))

    assert [one.state for one in followers()] == ["succeeded"]


def test_a_record_that_was_read_releases_what_was_committed_before_the_reading(followed, mirror):
    record(followed, update(commitTimestamp=1_000), update(commitTimestamp=5_000))

    release.release_read(mirror, {RECORD: 4_999})
    assert states_of_followers() == [RELEASED, WAITING]

    release.release_read(mirror, {RECORD: 5_000})
    assert states_of_followers() == [RELEASED, BEHIND]


def test_an_unordered_handler_waits_too(listener, mirror):
    make_follower(listener, ordering="unordered")
    record(listener, update(), update())

    release.release_applied(entries_of(followers()[1]))

    assert states_of_followers() == [WAITING, RELEASED]


def test_an_external_task_is_sent_after_the_mirror(listener, mirror):
    make_follower(listener, handler="", task="shop.sync", track=False, queue="shop")
    record(listener, update())
    assert states_of_followers() == [WAITING]

    release.release_applied(entries_of(*followers()))

    assert states_of_followers() == [("sent", False)]


def test_an_ignored_change_is_skipped_at_once(listener, mirror):
    make_follower(listener, ignore_users=["005000000000001AAA"])

    record(listener, update())

    assert states_of_followers() == [("skipped", False)]


def test_a_mapping_of_all_entities_waits_for_mirrored_ones_only(listener, mirror):
    make_follower(listener, entity="*")

    record(listener, update(), update(entity="Contact", records=["003000000000001AAA"]))

    assert states_of_followers() == [WAITING, RELEASED]


def test_a_handler_that_fails_never_holds_up_the_mirror(listener, mirror):
    make_follower(listener, handler="tests.fail", on_dead="halt", max_attempts=1)
    record(listener, update(), update())
    first, _ = followers()
    release.release_applied(entries_of(first))
    run_followers()
    assert [one.state for one in followers()] == ["dead", "blocked"]

    record(listener, update())

    chain = Delivery.objects.filter(**MIRROR)
    assert chain.values("chain").distinct().count() == 1
    assert not set(chain.values_list("chain", flat=True)) & {one.chain for one in followers()}
    assert chain.order_by("id").first().state in ("ready", "queued")


def test_the_handler_gets_the_row(followed):
    make_row(name="Acme")
    record(followed, update())
    release.release_applied(entries_of(*followers()))

    run_followers()

    [line] = read_journal()
    assert line["row"] == {"name": "Acme", "phone": None, "is_deleted": False}


def test_the_rows_of_a_batch_are_read_together(followed, django_assert_num_queries):
    make_row(name="Acme")
    other = "001000000000002AAA"
    record(followed, update(), update(records=[other]))
    entries = [one.entry for one in followers()]
    rows = Rows(entries)

    with django_assert_num_queries(2):  # the mirror, and its rows
        found = [rows.row_of(entry)() for entry in entries for _ in range(2)]

    assert [row and row.name for row in found] == ["Acme", "Acme", None, None]


def test_the_row_of_a_deleted_record_is_its_tombstone(listener, mirror):
    make_follower(listener, "delete")
    make_row(name="Acme", is_deleted=True)
    record(listener, change("DELETE"))
    release.release_applied(entries_of(*followers()))

    run_followers()

    assert read_journal()[0]["row"] == {"name": "Acme", "phone": None, "is_deleted": True}


def test_without_a_row_the_record_is_none(followed):
    record(followed, update())
    release.release_applied(entries_of(*followers()))

    run_followers()

    assert read_journal()[0]["row"] is None


def test_the_error_of_a_handler_not_after_the_mirror_names_the_setting(listener, mirror):
    make_mapping(listener, "update", "tests.note_record", max_attempts=1)
    record(listener, update())

    delivery = Delivery.objects.get(handler="tests.note_record")
    run_delivery(delivery.pk)

    delivery.refresh_from_db()
    assert delivery.state == "dead"
    assert "Set `after: mirror`" in delivery.error
