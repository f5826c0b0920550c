"""Many deliveries in one message are published, claimed and settled together."""

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.db.bulk_insert import INSERT_ROWS
from cdcproject.celery import app
from handlers.mappings import pause as mappings_pause
from handlers.models import Delivery, DeliveryAttempt, HandlerMapping
from handlers.worker.claim import claim
from handlers.worker.run import run_deliveries
from listeners import crash_points
from tests.attempts import all_attempts
from tests.handlers.bundling import (
    deliver,
    make_due,
    messages,
    publish,
    states,
)  # fmt: skip
from tests.running import run_delivery
from tests.sample_data import ANN
from tests.sample_handlers import read_journal, written_groups

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker", "journal")]


@pytest.fixture
def at_milestone(monkeypatch):
    """Calls a function the first time that a crash point is reached."""

    def add(name, do):
        left = [do]
        monkeypatch.setattr(
            crash_points, "reach", lambda reached: reached == name and left and left.pop()()
        )

    return add


def test_few_go_one_by_one_and_many_together(listener):
    few = deliver(listener, "tests.remember", 15)
    publish(few)
    assert messages() == [[pk] for pk in few]

    many = deliver(listener, "tests.remember", 64)
    publish(many)

    assert messages()[15:] == [many[n : n + 4] for n in range(0, 64, 4)]
    assert set(Delivery.objects.filter(pk__in=many).values_list("state", flat=True)) == {"queued"}


def test_a_message_shows_its_only_delivery_or_how_many_it_has(listener):
    alone, *others = deliver(listener, "tests.remember", 3)

    publish([alone], size=1)
    publish(others, size=2)

    with app.connection_for_read() as connection:
        texts = connection.default_channel.client.lrange("cdc", 0, -1)
    shown = [json.loads(text)["headers"]["kwargsrepr"] for text in reversed(texts)]
    assert f"'delivery_ids': [{alone}]" in shown[0]
    assert shown[1] == "2 deliveries"


def test_what_was_tried_before_goes_alone_and_so_does_what_is_tried_once(listener):
    tried = deliver(listener, "tests.remember", 3)
    Delivery.objects.filter(pk__in=tried).update(attempts=1)
    once = deliver(listener, "tests.remember", 3, max_attempts=1)
    fresh = deliver(listener, "tests.remember", 3)

    publish([*tried, *once, *fresh], size=10)

    assert sorted(messages()) == [*[[pk] for pk in tried], *[[pk] for pk in once], fresh]


def test_redelivered_changes_start_over_with_the_others(listener):
    ids = deliver(listener, "tests.remember", 3)
    Delivery.objects.update(attempts=4, attempts_before=4)

    publish(ids, size=10)

    assert messages() == [ids]


def test_each_handler_and_each_queue_has_messages_of_its_own(listener):
    here = deliver(listener, "tests.remember", 2)
    there = deliver(listener, "tests.remember", 2, queue="crm")
    other = deliver(listener, "tests.skip", 2)

    publish([*here, *there, *other], size=10)

    assert messages() == [here, other]
    assert messages("crm") == [there]


@pytest.mark.usefixtures("clock_just_read")
def test_each_of_a_message_runs_once_and_is_written_down_by_itself(listener):
    ids = deliver(listener, "tests.remember", 20)

    assert run_deliveries(ids, "tests.remember") == "20 succeeded"
    assert run_deliveries(ids, "tests.remember") == "20 not claimed"

    assert states() == ["succeeded"] * 20
    assert len(read_journal()) == 20
    attempts = all_attempts()
    assert [one.delivery_id for one in attempts] == ids
    assert {(one.number, one.outcome) for one in attempts} == {(1, "succeeded")}
    assert all(one.started_at <= one.finished_at for one in attempts)
    assert attempts[0].finished_at <= attempts[-1].started_at


def test_one_that_fails_harms_none_of_the_others(listener):
    told = [{}, {}, {}, {}, {"Fail": True}, {}, {}]
    ids = deliver(listener, "tests.fail_once_when_told", data=told, max_attempts=2)

    assert run_deliveries(ids, "tests.fail_once_when_told") == "6 succeeded, 1 failed"

    expected = ["succeeded"] * 7
    expected[4] = "retrying"
    assert states() == expected
    assert Delivery.objects.get(state="retrying").error == "ValueError: told to fail"


def test_what_another_worker_was_given_is_not_among_them(listener):
    ids = deliver(listener, "tests.remember", 4)
    assert claim([ids[1]])

    assert run_deliveries(ids, "tests.remember") == "1 not claimed, 3 succeeded"

    assert states() == ["succeeded", "running", "succeeded", "succeeded"]


def test_a_lost_claim_is_not_settled_and_the_others_are(listener, at_milestone):
    ids = deliver(listener, "tests.remember", 4)
    taken = Delivery.objects.filter(pk=ids[2])

    def given_to_another():
        at_milestone("handled", lambda: at_milestone("handled", lambda: taken.update(attempts=2)))

    at_milestone("handled", given_to_another)  # of the third run

    assert run_deliveries(ids, "tests.remember") == "3 succeeded, 1 claim lost"

    assert states() == ["succeeded", "succeeded", "running", "succeeded"]
    assert not DeliveryAttempt.objects.filter(delivery=ids[2]).exists()


@pytest.mark.parametrize("handler", ["tests.remember", "tests.write_group"])
def test_what_a_pause_overtakes_does_not_begin(listener, at_milestone, handler):
    ids = deliver(listener, handler, 6)
    mapping = HandlerMapping.objects.get()

    def pause():  # with the second claim, of two
        at_milestone("claimed", lambda: mappings_pause.pause([mapping], ANN, "", timezone.now()))

    at_milestone("claimed", pause)

    assert run_deliveries(ids, handler) == "5 not claimed, 1 succeeded"

    rows = Delivery.objects.order_by("id").values_list("state", "paused", "attempts")
    assert list(rows) == [("succeeded", False, 1), *[("ready", True, 0)] * 5]


def test_atomic_ones_commit_and_roll_back_one_by_one(listener):
    ids = deliver(listener, "tests.write_group", 5)
    failing = deliver(listener, "tests.write_group", 1, options={"fail": True})

    run_deliveries([*ids[:3], *failing, *ids[3:]], "tests.write_group")

    assert states() == [*["succeeded"] * 5, "retrying"]
    assert written_groups().count() == 5


@pytest.mark.usefixtures("clock_just_read")
def test_a_single_delivery_takes_few_statements(listener):
    [pk] = deliver(listener, "tests.remember", 1)

    with CaptureQueriesContext(connection) as queries:
        assert run_delivery(pk) == "succeeded"

    assert len(queries) <= 8, [query["sql"] for query in queries]


@pytest.mark.usefixtures("clock_just_read")
def test_many_deliveries_take_as_many_statements_as_few(listener):
    few, many = (
        deliver(listener, "tests.batch", INSERT_ROWS + 1),
        deliver(listener, "tests.batch", 10),
    )

    with CaptureQueriesContext(connection) as queries_of_few:
        run_deliveries(few, "tests.batch")
    with CaptureQueriesContext(connection) as queries_of_many:
        run_deliveries(many, "tests.batch")

    assert len(queries_of_many) == len(queries_of_few) <= 14


def test_failures_of_many_are_counted_until_each_is_dead(listener):
    ids = deliver(listener, "tests.fail", 3, max_attempts=2)

    run_deliveries(ids, "tests.fail")
    make_due()
    run_deliveries(ids, "tests.fail")

    assert states() == ["dead"] * 3
    assert DeliveryAttempt.objects.filter(outcome="failed").count() == 6
