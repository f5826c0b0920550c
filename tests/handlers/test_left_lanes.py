"""A lane keeps its number when mappings leave it, and a record's next change waits for what they
left behind."""

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from consumer import relay
from consumer.ingest.transaction import ingest
from handlers.mappings.retarget import move_waiting
from handlers.models import Delivery, HandlerMapping
from handlers.models.mapping import MIRROR_HANDLER
from handlers.ordering import left_behind as left_behind_module
from handlers.ordering.left_behind import left_behind
from handlers.ordering.rechain import follow
from handlers.redelivery.request import RedeliveryRequest
from handlers.sdk.outcomes import Succeeded
from handlers.worker.claim import claim
from handlers.worker.settle import settle
from listeners.models import Position
from tests.mirrored import MIRROR, end_mirror, make_follower, make_mirror, update
from tests.redelivering import redeliver
from tests.running import run_delivery
from tests.sample_data import ANN, change, lease_of, make_listener, make_mapping, received
from tests.sample_handlers import read_journal

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "journal"),
]

CONTACT = "003000000000001AAA"


def record(listener, *messages):
    """Record messages; return all deliveries."""
    ingest(listener, lease_of(listener), received(*messages))
    return list(Delivery.objects.order_by("id"))


def states():
    return list(Delivery.objects.order_by("id").values_list("state", flat=True))


def edit(mapping, **fields):
    HandlerMapping.objects.filter(pk=mapping.pk).update(**fields)


def start(delivery):
    """Claim a delivery, as the worker does that runs it."""
    [running] = claim([delivery.pk])
    return running


def end(running):
    settle(running, Succeeded())


def kill(delivery):
    """End a delivery as a dead letter that halts its chain."""
    dead = {"state": "dead", "halts": True, "attempts": 1, "awaits_mirror": False}
    Delivery.objects.filter(pk=delivery.pk).update(**dead)


def run_all():
    """Run deliveries as workers would, the newest first, until none can begin."""
    while ready := Delivery.objects.filter(state__in=("ready", "queued")).order_by("id").last():
        run_delivery(ready.pk)


def handled():
    return [line["id"] for line in read_journal()]


def test_the_next_change_waits_for_the_run_of_a_deleted_mapping(listener):
    first = make_mapping(listener, "create")
    make_mapping(listener, "update", "tests.skip")
    running = start(record(listener, change())[0])
    first.delete()

    record(listener, change("UPDATE"))
    record(listener, change("UPDATE"))

    assert states() == ["running", "blocked", "blocked"]
    end(running)
    assert states() == ["succeeded", "ready", "blocked"]


def test_what_waited_already_waits_for_the_run_of_a_deleted_mapping(listener):
    first = make_mapping(listener, "create")
    make_mapping(listener, "update")
    running = start(record(listener, change(), change("UPDATE"))[0])
    first.delete()

    record(listener, change("UPDATE"))

    assert states() == ["running", "blocked", "blocked"]
    end(running)
    assert states() == ["succeeded", "ready", "blocked"]


def test_what_waits_for_a_handler_that_its_mapping_has_lost_is_handled_first(listener):
    first = make_mapping(listener, "create")
    make_mapping(listener, "update")
    record(listener, change(), change("UPDATE"))
    edit(first, handler="")

    deliveries = record(listener, change("UPDATE"))

    assert states() == ["queued", "blocked", "blocked"]
    run_all()
    assert handled() == [one.entry_id for one in deliveries]


def test_a_redelivery_waits_for_it_too(listener):
    first = make_mapping(listener, "create")
    make_mapping(listener, "update")
    _, done = record(listener, change(), change("UPDATE"))
    Delivery.objects.filter(pk=done.pk).update(state="succeeded", attempts=1)
    edit(first, handler="")

    redeliver(RedeliveryRequest(ANN, Delivery.objects.filter(pk=done.pk)), timezone.now())

    assert states() == ["queued", "blocked"]


@pytest.mark.parametrize("task", ["", "elsewhere.run"])
def test_a_new_mapping_to_the_same_target_waits_for_the_run_of_a_deleted_one(listener, task):
    target = {"handler": "" if task else "tests.remember", "task": task}
    first = make_mapping(listener, **target)
    delivery, _ = record(listener, change(), change())
    until = timezone.now() + timedelta(hours=1)
    Delivery.objects.filter(pk=delivery.pk).update(
        state="running", attempts=1, claim_deadline=until
    )
    first.delete()
    make_mapping(listener, **target)

    record(listener, change())
    relay.sweep(timezone.now())

    assert states() == ["running", "skipped", "blocked"]


@pytest.mark.parametrize("state", ["blocked", "ready", "queued", "retrying"])
def test_a_new_mapping_to_the_same_handler_waits_for_one_that_has_lost_it(listener, state):
    first = make_mapping(listener)
    record(listener, change())
    Delivery.objects.update(state=state, due_at=timezone.now())
    edit(first, handler="")
    make_mapping(listener)

    deliveries = record(listener, change())

    assert states() == [state, "blocked"]
    Delivery.objects.filter(pk=deliveries[0].pk).update(state="ready")
    run_all()
    assert handled() == [one.entry_id for one in deliveries]


def test_a_new_mapping_to_another_handler_does_not_wait(listener):
    first = make_mapping(listener)
    record(listener, change())
    edit(first, handler="")
    make_mapping(listener, handler="tests.skip")

    record(listener, change())

    assert states() == ["queued", "queued"]


def test_a_run_of_the_former_handler_holds_back_both_lanes_until_it_ends(listener):
    """Two mappings share a handler, and one of them is given another handler during its run."""
    edited = make_mapping(listener, "update", entity="Account")
    make_mapping(listener, "update", entity="*")
    first, _ = record(listener, change("UPDATE"))
    running = start(first)
    edit(edited, handler="tests.skip")

    record(listener, change("UPDATE"))

    assert states() == ["running", "blocked", "blocked", "blocked"]
    end(running)
    record(listener, change("UPDATE", records=["001B"]))
    # The mappings have lanes of their own again.
    assert states()[:4] == ["succeeded", "ready", "ready", "blocked"]


def test_what_is_left_behind_moves_where_its_lane_is_merged(listener):
    kept = make_mapping(listener, "update", "tests.skip")
    lost = make_mapping(listener, "create", entity="Account")
    other = make_mapping(listener, "update", "tests.remember", entity="*")
    first, *_ = record(listener, change(), change("UPDATE"))
    assert first.chain.startswith(f"{lost.pk}:")
    running = start(first)
    lost.delete()
    edit(other, handler="tests.skip")

    deliveries = record(listener, change("UPDATE"))

    assert {one.chain.partition(":")[0] for one in deliveries} == {str(kept.pk)}
    assert states()[0] == "running"
    assert set(states()[1:]) == {"blocked"}
    end(running)
    relay.promote_stranded()
    assert states().count("ready") == 1


def test_a_mapping_that_comes_back_gets_a_number_of_its_own(listener):
    """The number of its former lane is that of the mapping that stayed."""
    first = make_mapping(listener, "create")
    second = make_mapping(listener, "update", "tests.skip")
    record(listener, change("UPDATE"))
    edit(first, handler="")
    record(listener, change("UPDATE"))
    edit(first, handler="tests.remember", on="update")

    record(listener, change("UPDATE"))

    lanes = Position.objects.get().lanes
    assert lanes[str(second.pk)] == first.pk
    assert lanes[str(first.pk)] != first.pk
    assert states() == ["queued", "blocked", "queued", "blocked"]


def test_its_number_is_that_of_no_mapping_of_another_listener(listener):
    """Neither of an existing one nor of the next one: chains are named without the listener."""
    other = make_listener(name="other")
    make_mapping(listener, options={"n": 1})
    moved = make_mapping(listener, options={"n": 2})
    make_mapping(other)
    stays = make_mapping(listener, options={"n": 2})
    record(listener, change())
    for options in ({"n": 1}, {"n": 3}):
        edit(moved, options=options)
        record(listener, change())
    make_mapping(other, handler="tests.skip")

    record(other, change())

    ours, theirs = (Position.objects.get(listener=one).lanes for one in (listener, other))
    assert ours[str(stays.pk)] == moved.pk
    assert (len({*ours.values()}), len({*theirs.values()})) == (3, 2)
    assert {*ours.values()}.isdisjoint(theirs.values())
    assert states()[-2:] == ["queued", "queued"]


def test_a_mirror_does_not_wait_for_its_follower_that_had_another_handler(listener):
    """The follower was another handler of another entity, whose run has not ended."""
    edited = make_mapping(listener, "update", entity="Contact")
    make_mirror(listener)
    running = start(record(listener, change("UPDATE", [CONTACT], entity="Contact"))[0])
    edit(edited, handler="tests.note_record", entity="Account", after="mirror")

    record(listener, update())

    _, *later = Delivery.objects.order_by("id")
    assert {one.handler: one.state for one in later} == {
        MIRROR_HANDLER: "queued",
        "tests.note_record": "blocked",
    }
    end(running)


def test_a_mirror_does_not_wait_for_its_new_follower(listener):
    """The follower has the handler of a deleted mapping whose run has not ended."""
    deleted = make_mapping(listener, "update", "tests.note_record", entity="Contact")
    make_mirror(listener, is_loaded=False)
    start(record(listener, change("UPDATE", [CONTACT], entity="Contact"))[0])
    deleted.delete()
    make_follower(listener)
    record(listener, update())
    end_mirror()

    record(listener, update())

    assert Delivery.objects.filter(**MIRROR).latest("id").state == "queued"


def test_a_mirror_does_not_wait_behind_the_dead_letter_of_its_follower(listener):
    """The follower has the handler that another mapping lost while a dead letter halted it."""
    lost = make_mapping(listener, "update", "tests.note_record", entity="Contact", on_dead="halt")
    make_mirror(listener)
    halted, _ = record(listener, *(change("UPDATE", [CONTACT], entity="Contact") for _ in "12"))
    kill(halted)
    edit(lost, handler="")
    follower = make_follower(listener, on_dead="halt")
    record(listener, update())
    end_mirror()
    kill(Delivery.objects.get(mapping=follower))

    record(listener, update())

    assert Delivery.objects.filter(**MIRROR).latest("id").state == "queued"


def test_a_lane_is_forgotten_with_the_end_of_what_was_left_behind(
    listener, django_assert_num_queries
):
    first = make_mapping(listener, "create")
    second = make_mapping(listener, "update")
    running = start(record(listener, change())[0])
    first.delete()
    record(listener, change("UPDATE"))
    assert Position.objects.get().lanes == {str(first.pk): first.pk, str(second.pk): first.pk}
    end(running)

    record(listener, change("UPDATE"))

    assert Position.objects.get().lanes == {str(second.pk): first.pk}
    with django_assert_num_queries(1):
        assert follow(listener.pk, [second], []) == {second.pk: first.pk}


@pytest.mark.parametrize("end", ["lost", "deleted", "edited"])
def test_no_batch_reads_all_sent_tasks_as_long_as_something_is_left_behind(listener, end):
    """Tracked tasks that wait for a worker may be many."""
    left = make_mapping(listener, "create", on_dead="halt")
    second = make_mapping(listener, "update")
    first, _ = record(listener, change(), change())
    if end == "lost":
        kill(first)
        edit(left, handler="")
    else:
        start(first)
    if end == "deleted":
        left.delete()
    if end == "edited":
        edit(left, handler="tests.skip", on="update")
    record(listener, change("UPDATE"))
    before = Position.objects.get().lanes
    mappings = list(HandlerMapping.objects.all())

    with CaptureQueriesContext(connection) as queries:
        assert follow(listener.pk, mappings, [])[second.pk] == left.pk

    assert (
        before == Position.objects.get().lanes == {str(pk): left.pk for pk in (left.pk, second.pk)}
    )
    reads = [query["sql"] for query in queries if 'FROM "handlers_delivery"' in query["sql"]]
    assert reads
    assert all(
        "LIMIT 1" in sql or '"handlers_delivery"."id" IN' in sql or "is_tracked" not in sql
        for sql in reads
    )


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the choice of SQLite's planner")
def test_a_search_for_what_is_left_behind_reads_no_ended_delivery(listener):
    """SQLite reads all deliveries of mappings that the condition names."""
    edited = make_mapping(listener, "update", entity="Account")
    make_mapping(listener, "update", entity="*")
    start(record(listener, change("UPDATE"))[0])
    edit(edited, handler="tests.skip")
    mappings = list(HandlerMapping.objects.all())
    known = dict.fromkeys((mapping.pk for mapping in mappings), edited.pk)

    with CaptureQueriesContext(connection) as queries:
        assert [one.handler for one in left_behind(mappings, known, known)] == ["tests.remember"]

    with connection.cursor() as cursor:
        plans = [
            str(cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}").fetchall())
            for query in queries
        ]
    assert all("delivery_running" in plan or "delivery_queued" in plan for plan in plans)


@pytest.mark.parametrize("is_lost", [True, False])
def test_a_delivery_that_begins_to_run_during_the_search_is_found(listener, monkeypatch, is_lost):
    target = {"handler": "tests.remember"} if is_lost else {"handler": "", "task": "elsewhere.run"}
    mapping = make_mapping(listener, "update", **target)
    record(listener, change("UPDATE"))
    until = timezone.now() + timedelta(hours=1)
    Delivery.objects.update(state="queued", attempts=1, claim_deadline=until)
    edit(mapping, handler="" if is_lost else "tests.skip", task="")

    def targets(*args):
        found = search(*args)
        Delivery.objects.update(state="running")
        return found

    search = left_behind_module._targets
    monkeypatch.setattr(left_behind_module, "_targets", targets)
    mappings = list(HandlerMapping.objects.all())
    found = left_behind(mappings, {mapping.pk: 1}, [] if is_lost else [mapping.pk])

    assert [one.handler or one.task for one in found] == list(target.values())[-1:]


def retarget(mapping, handler):
    """Edit a mapping as the console, the API and the file do."""
    with transaction.atomic():
        mapping.handler = handler
        mapping.save()
        move_waiting(mapping, timezone.now())


@pytest.mark.parametrize("is_first", [True, False])
def test_the_next_change_waits_for_the_run_of_a_handler_that_went_to_another_mapping(
    listener, is_first
):
    """No mapping enters or leaves a lane by these edits."""
    handlers = ("tests.remember", "tests.skip") if is_first else ("tests.skip", "tests.remember")
    pair = [make_mapping(listener, "update", handler) for handler in handlers]
    giving, taking = pair if is_first else reversed(pair)
    deliveries = record(listener, change("UPDATE"))
    running = start(next(one for one in deliveries if one.mapping_id == giving.pk))
    Delivery.objects.filter(mapping=taking).update(state="succeeded")
    retarget(giving, "tests.fail")
    retarget(taking, "tests.remember")

    record(listener, change("UPDATE"))

    assert states()[2:] == ["blocked", "blocked"]
    end(running)
    relay.promote_stranded()
    assert states()[2:].count("ready") == 1


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("goes_on", [True, False])
def test_of_two_runs_in_merged_lanes_the_next_change_waits_for_that_of_its_handler(
    listener, is_first, goes_on
):
    handlers = ("tests.remember", "tests.skip") if is_first else ("tests.skip", "tests.remember")
    pair = [make_mapping(listener, "update", handler) for handler in handlers]
    giving, taking = pair if is_first else reversed(pair)
    deliveries = record(listener, change("UPDATE"))
    runs = {one.mapping_id: start(one) for one in deliveries}
    if not goes_on:
        retarget(giving, "tests.fail")
    retarget(taking, "tests.remember")

    record(listener, change("UPDATE"))
    end(runs[taking.pk])
    record(listener, change("UPDATE"))
    relay.promote_stranded()

    assert set(states()[2:]) == {"blocked"}
    end(runs[giving.pk])
    assert states()[2:].count("ready") == 1
