"""Each change of a delivery's state is a compare-and-swap that applies to its named states only."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction

from handlers.models import Delivery, HandlerMapping
from handlers.models.delivery_queryset import SENDING
from handlers.tracking import claims
from tests.at_once import in_threads
from tests.handlers.bundling import deliver
from tests.servers import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
BEFORE = NOW - timedelta(hours=1)
STATES = list(Delivery.State)
WAITING = {"ready", "queued", "retrying"}


@pytest.fixture
def pair(listener):
    """Two equal deliveries of a handler, of different records."""
    return deliver(listener, "tests.remember", 2)


@pytest.fixture
def external_pair(listener):
    return deliver(listener, "", 2, task="elsewhere.sync", track=False)


def put(state, **fields):
    """Put all deliveries into a state, with every time column that a state may have."""
    moments = dict.fromkeys(
        ("due_at", "queued_at", "started_at", "claim_deadline", "finished_at"), BEFORE
    )
    others = {"paused": False, "attempts": 0, "error": "an old one"}
    Delivery.objects.update(**{"state": state, **others, **moments, **fields})


def rows(*fields):
    return list(Delivery.objects.order_by("id").values_list(*fields))


def changed_from(states, swap, **fields):
    """Return the states in which `swap` changes the first delivery; it must never change the
    second."""
    found = set()
    for state in states:
        put(state, **fields)
        before = rows("state", "paused", "queued_at", "attempts")
        swap()
        after = rows("state", "paused", "queued_at", "attempts")
        assert after[1] == before[1], state
        if after[0] != before[0]:
            found.add(state.value)
    return found


def test_what_waits_and_was_published_is_queued(pair):
    def mark():
        Delivery.objects.mark_queued({0: pair[:1]}, NOW)

    assert changed_from(STATES, mark) == WAITING
    assert changed_from(STATES, mark, paused=True) == set()
    assert changed_from(STATES, mark, attempts=1) == set()
    put("ready")
    mark()
    assert rows("queued_at") == [(NOW,), (BEFORE,)]


def test_what_was_queued_and_is_given_up_is_ready(pair):
    def unmark():
        Delivery.objects.unmark_queued(pair[:1])

    assert changed_from(STATES, unmark) == {"queued"}
    assert changed_from(STATES, unmark, paused=True) == set()
    put("queued")
    unmark()
    assert rows("state", "queued_at") == [("ready", None), ("queued", BEFORE)]


def test_what_waits_for_a_paused_mapping_is_set_aside(pair):
    def set_aside():
        Delivery.objects.set_aside(pair[:1])

    assert changed_from(STATES, set_aside) == set()
    HandlerMapping.objects.update(paused_at=NOW)

    assert changed_from(STATES, set_aside) == WAITING
    for state, then in (("queued", "ready"), ("retrying", "retrying")):
        put(state)
        set_aside()
        assert rows("state", "paused", "queued_at")[0] == (then, True, None)


def claimable(state, **fields):
    put(state, **fields)
    return list(Delivery.objects.claimable(NOW).order_by("id").values_list("pk", flat=True))


def test_what_is_ready_or_queued_can_begin_and_a_retry_that_is_due(pair):
    assert {state for state in STATES if claimable(state)} == WAITING
    assert claimable("retrying", due_at=NOW) == pair
    assert claimable("retrying", due_at=NOW + timedelta(seconds=1)) == []
    assert claimable("queued", due_at=NOW + timedelta(seconds=1)) == pair

    HandlerMapping.objects.update(paused_at=NOW)

    assert not any(claimable(state) for state in STATES)


def test_what_is_ready_for_a_task_elsewhere_is_claimed_before_it_is_sent(external_pair):
    def claim():
        Delivery.objects.claim_sending(external_pair[:1], NOW)

    assert changed_from(STATES, claim) == {"ready"}
    assert changed_from(STATES, claim, is_external=False) == set()
    assert changed_from(STATES, claim, is_external=True, queued_at=NOW - SENDING) == set()
    put("ready", queued_at=None)
    HandlerMapping.objects.update(paused_at=NOW)
    assert Delivery.objects.claim_sending(external_pair, NOW) == []
    HandlerMapping.objects.update(paused_at=None)
    assert Delivery.objects.claim_sending(external_pair[:1], NOW) == external_pair[:1]
    assert rows("queued_at") == [(NOW,), (None,)]


def test_what_was_not_sent_after_all_can_be_claimed_again(external_pair):
    def release():
        Delivery.objects.release_sending(external_pair[:1], BEFORE)

    assert changed_from(STATES, release) == {"ready"}
    assert rows("queued_at")[0] == (BEFORE,)
    put("ready")
    Delivery.objects.release_sending(external_pair, NOW)  # claims of another process
    assert rows("queued_at") == [(BEFORE,), (BEFORE,)]
    release()
    assert rows("queued_at") == [(None,), (BEFORE,)]


def test_a_claim_that_another_process_took_over_is_not_renewed(external_pair):
    put("ready")
    Delivery.objects.filter(pk=external_pair[1]).update(queued_at=BEFORE + timedelta(seconds=61))

    assert Delivery.objects.renew_sending(external_pair, BEFORE, NOW) == external_pair[:1]

    assert rows("queued_at") == [(NOW,), (BEFORE + timedelta(seconds=61),)]


def test_what_is_not_to_be_sent_at_all_is_skipped_with_the_reason(external_pair):
    def skip():
        Delivery.objects.skip_sending({external_pair[0]: "its record was deleted"}, NOW)

    assert changed_from(STATES, skip) == {"ready"}
    put("ready", finished_at=None)
    skip()
    assert rows("state", "error", "queued_at", "finished_at") == [
        ("skipped", "its record was deleted", None, NOW),
        ("ready", "an old one", BEFORE, None),
    ]


def test_what_was_sent_elsewhere_has_ended(external_pair):
    def mark():
        Delivery.objects.mark_sent(external_pair[:1], NOW)

    assert changed_from(STATES, mark) == {"ready"}
    put("ready", finished_at=None)
    mark()
    assert rows("state", "queued_at", "finished_at") == [
        ("sent", NOW, NOW),
        ("ready", BEFORE, None),
    ]


@pytest.mark.parametrize("state", ["queued", "running"])
def test_the_attempt_of_a_tracked_task_is_ended_by_its_report_or_deadline_alone(
    external_pair, state
):
    put(state, is_tracked=True, attempts=1)
    HandlerMapping.objects.update(paused_at=NOW)
    before = rows("state", "attempts", "paused", "queued_at", "claim_deadline")
    deliveries = Delivery.objects

    deliveries.set_aside(external_pair)
    HandlerMapping.objects.update(paused_at=None)
    deliveries.mark_queued({1: external_pair}, NOW)
    deliveries.unmark_queued(external_pair)
    deliveries.release_sending(external_pair, BEFORE)
    deliveries.mark_sent(external_pair, NOW)

    assert rows("state", "attempts", "paused", "queued_at", "claim_deadline") == before
    assert deliveries.claim_sending(external_pair, NOW) == []
    assert claims.claim(external_pair, None, NOW) == []
    assert not deliveries.claimable(NOW).exists()
    assert not deliveries.queued_before(NOW).exists()
    assert not deliveries.overdue(NOW).exists()
    assert deliveries.unreported(NOW).count() == 2


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer")
@pytest.mark.parametrize(
    ("state", "is_paused", "swap"),
    [
        ("ready", False, lambda ids: Delivery.objects.mark_queued({0: ids}, NOW)),
        ("queued", False, Delivery.objects.unmark_queued),
        ("queued", True, Delivery.objects.set_aside),
        ("ready", False, lambda ids: Delivery.objects.claim_sending(ids, NOW)),
    ],
    ids=["queued", "not queued", "set aside", "claimed for sending"],
)
def test_no_step_waits_for_a_locked_row(external_pair, state, is_paused, swap):
    locked, _ = external_pair
    put(state)
    HandlerMapping.objects.update(paused_at=NOW if is_paused else None)
    before = rows("state", "paused", "queued_at")

    with transaction.atomic():
        Delivery.objects.filter(pk=locked).select_for_update().get()
        [swapping] = in_threads(lambda: swap(external_pair))
        swapping.result(PATIENCE_SECONDS)

    after = rows("state", "paused", "queued_at")
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_a_claim_that_was_not_used_counts_as_no_attempt(pair):
    held = {pair[0]: 2}

    def give_back():
        Delivery.objects.give_back(held, paused=False)

    assert changed_from(STATES, give_back, attempts=2) == {"running"}
    assert changed_from(STATES, give_back, attempts=3) == set()
    put("running", attempts=2)
    give_back()
    assert rows("state", "paused", "attempts", "queued_at", "started_at", "claim_deadline") == [
        ("ready", False, 1, None, None, None),
        ("running", False, 2, BEFORE, BEFORE, BEFORE),
    ]


def test_a_run_is_ended_by_who_has_its_claim(pair):
    def settle():
        Delivery.objects.settle(pair[0], 2, state="skipped")

    assert changed_from(STATES, settle, attempts=2) == {"running"}
    assert changed_from(STATES, settle, attempts=3) == set()
