"""Many waiting deliveries follow an edit in slices: recording waits for the position's lock."""

from collections import Counter
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from consumer import relay
from consumer.ingest.transaction import ingest
from handlers.mappings import retarget
from handlers.models import Delivery, HandlerMapping
from handlers.ordering import rechain
from handlers.worker.run import run_deliveries
from listeners.models import Position
from tests.mirrored import WAITING, make_mirror, states_of_followers, update
from tests.running import run_delivery
from tests.sample_data import change, lease_of, make_mapping, received
from tests.sample_handlers import read_journal

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker", "journal")]

ROWS = 4
RECORDS = [f"001{letter}" for letter in "ABCDEF"]


@pytest.fixture(autouse=True)
def small_slices(monkeypatch):
    monkeypatch.setattr(rechain, "ROWS", ROWS)
    monkeypatch.setattr(rechain, "SLICES", 1)


def record(listener, *records, kind="UPDATE"):
    ingest(listener, lease_of(listener), received(*(change(kind, [one]) for one in records)))


def edit(mapping, **fields):
    """Edit a mapping as the console, the API and the file do."""
    with transaction.atomic():
        for name, value in fields.items():
            setattr(mapping, name, value)
        mapping.save()
        return retarget.move_waiting(mapping, timezone.now())


def rows(*columns):
    return list(Delivery.objects.order_by("id").values_list(*columns))


def move_all():
    """Let the relay move what is left; return how many deliveries each of its rounds changed."""
    changed = []
    for _ in range(50):
        if not Position.objects.exclude(moving={}).exists():
            return changed
        before = rows("handler", "chain")
        relay.run_due(timezone.now())
        after = rows("handler", "chain")
        changed.append(sum(one != two for one, two in zip(before, after, strict=True)))
    return pytest.fail("the relay does not come to an end")


def run_all():
    """Run deliveries as workers would, the newest first, until none can begin."""
    while ready := Delivery.objects.filter(state__in=("ready", "queued")).order_by("id").last():
        run_delivery(ready.pk)


def assert_handled_in_order(number):
    """Each record's changes were handled in the order of their recording."""
    handled = [line["id"] for line in read_journal()]
    assert len(handled) == number
    record_of = dict(Delivery.objects.values_list("entry_id", "entry__record_id"))
    for name in RECORDS:
        ids = [pk for pk in handled if record_of[pk] == name]
        assert ids == sorted(ids)


def test_waiting_deliveries_follow_their_mapping_in_slices(listener):
    mapping = make_mapping(listener, "update", "not.there")
    record(listener, *RECORDS, *RECORDS)

    assert edit(mapping, handler="tests.remember") == 12

    assert {handler for (handler,) in rows("handler")} == {"not.there"}
    assert max(move_all()) <= ROWS + 1  # the last record of a slice is moved as a whole
    assert {handler for (handler,) in rows("handler")} == {"tests.remember"}
    run_all()
    assert_handled_in_order(12)


def test_a_record_moves_to_another_lane_before_its_next_change_is_added(listener):
    one = make_mapping(listener, "update", "tests.remember", entity="*")
    two = make_mapping(listener, "update", "tests.skip", entity="Account")
    record(listener, *RECORDS)
    edit(two, handler="tests.remember")

    record(listener, RECORDS[-1], RECORDS[-1])

    lanes = Counter(
        (chain.partition(":")[0], record) for chain, record in rows("chain", "entry__record_id")
    )
    assert lanes[str(one.pk), RECORDS[-1]] == 6
    assert lanes[str(two.pk), RECORDS[0]] == 1
    move_all()
    assert {chain.partition(":")[0] for (chain,) in rows("chain")} == {str(one.pk)}
    run_all()
    assert_handled_in_order(16)


def test_a_recording_that_changes_the_lanes_moves_only_its_own_records(listener):
    mapping = make_mapping(listener, "update", ordering="unordered")
    record(listener, *RECORDS, *RECORDS)
    HandlerMapping.objects.update(ordering="per_record")

    record(listener, RECORDS[0])

    chain = f"{mapping.pk}:{RECORDS[0]}"
    assert Counter(rows("chain")) == {(chain,): 3, ("",): 10}
    move_all()
    assert set(Counter(rows("chain")).values()) == {2, 3}
    run_all()
    assert_handled_in_order(13)


def test_a_worker_runs_no_former_handler_before_its_deliveries_move(listener):
    mapping = make_mapping(listener, "update", "tests.fail")
    record(listener, *RECORDS)
    edit(mapping, handler="tests.remember")
    last = Delivery.objects.order_by("id")[5]

    assert run_deliveries([last.pk], "tests.fail") == "not claimed"

    assert [handler for (handler,) in rows("handler")] == ["tests.fail"] * 5 + ["tests.remember"]
    assert rows("attempts") == [(0,)] * 6


def test_a_further_edit_of_mappings_that_have_not_moved_begins_again(listener):
    mapping = make_mapping(listener, "update", "not.there")
    record(listener, *RECORDS, *RECORDS)
    edit(mapping, handler="tests.skip")
    relay.run_due(timezone.now())
    assert Counter(rows("handler")) != {("not.there",): 12}

    edit(mapping, handler="tests.remember")
    move_all()

    assert {handler for (handler,) in rows("handler")} == {"tests.remember"}
    run_all()
    assert_handled_in_order(12)


def test_what_stays_with_a_former_task_does_not_keep_the_others_from_moving(listener):
    mapping = make_mapping(listener, "update", handler="", task="elsewhere.run")
    record(listener, *RECORDS)
    until = timezone.now() + timedelta(hours=1)
    sent = Delivery.objects.filter(entry__record_id=RECORDS[0])
    sent.update(state="queued", attempts=1, claim_deadline=until)
    edit(mapping, task="", handler="tests.remember")

    record(listener, RECORDS[0])
    move_all()

    assert rows("handler", "state")[0] == ("elsewhere.run", "queued")
    assert set(rows("handler")[1:]) == {("tests.remember",)}
    assert rows("state")[-1] == ("blocked",)


def test_no_more_deliveries_are_counted_than_a_person_needs(listener, monkeypatch):
    mapping = make_mapping(listener, "update", "not.there")
    record(listener, *RECORDS, *RECORDS)
    monkeypatch.setattr(retarget, "COUNTED", 7)

    assert retarget.shown(edit(mapping, handler="tests.remember")) == "7+ waiting deliveries"


def test_waiting_deliveries_wait_for_the_mirror_in_slices(listener):
    make_mirror(listener)
    mapping = make_mapping(listener, "update", "tests.note_record")
    ids = [f"00100000000000{n}AAA" for n in range(1, 7)]
    ingest(listener, lease_of(listener), received(*(update(records=[one]) for one in ids)))

    edit(mapping, after="mirror")
    assert WAITING not in states_of_followers()
    move_all()

    assert states_of_followers() == [WAITING] * 6
