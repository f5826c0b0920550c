"""Deliveries of one record run one after the other, in the same worker for as long as its time
allows."""

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from consumer import relay
from consumer.ingest.transaction import ingest
from handlers.mappings import pause
from handlers.models import Delivery, HandlerMapping
from handlers.models.delivery_queryset import IN_CHAIN
from handlers.outbox.handover import READY_AGE
from handlers.worker import message_run
from handlers.worker.run import run_deliveries
from listeners import crash_points
from tests.attempts import all_attempts
from tests.handlers.bundling import ids_of, make_due, messages, record_id, states
from tests.running import run_delivery
from tests.sample_data import ANN, change, lease_of, make_mapping, received
from tests.sample_handlers import read_journal, written_groups
from tests.system.verdict import assert_in_order, noted_effects

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker", "journal")]


def record(listener, *changes):
    """Record the `changes`, each a record's number, alone or with data or a change type. Returns
    the ids of the deliveries that can begin."""
    told = [(one,) if isinstance(one, int) else one for one in changes]
    made = [
        change(
            next((it for it in more if isinstance(it, str)), "CREATE"),
            records=[record_id(number)],
            data=next((it for it in more if isinstance(it, dict)), None),
        )
        for number, *more in told
    ]
    ingest(listener, lease_of(listener), received(*made))
    return ids_of(state="queued")


def test_all_of_a_record_run_one_after_the_other_in_one_task(listener):
    make_mapping(listener)
    [first] = record(listener, *[0] * 7)

    assert run_delivery(first) == "7 succeeded"

    assert [entry for _, entry in noted_effects()] == ids_of_entries()
    assert messages() == []


def ids_of_entries():
    return list(Delivery.objects.order_by("id").values_list("entry", flat=True))


def test_the_database_refuses_a_second_open_delivery_of_a_chain(listener):
    make_mapping(listener)
    [first] = record(listener, 0, 0)

    with pytest.raises(IntegrityError):
        Delivery.objects.exclude(pk=first).update(state="ready")


def test_one_change_of_each_of_many_records_is_claimed_and_settled_together(listener):
    make_mapping(listener)
    first = record(listener, *[*range(8)] * 5)

    with CaptureQueriesContext(connection) as queries:
        assert run_deliveries(first, "tests.remember") == "40 succeeded"

    assert_in_order(noted_effects())
    # Claimed are 1, 2, 4, and then 8 each time.
    assert sum("INSERT INTO" in query["sql"] for query in queries) <= 8


@pytest.mark.parametrize("records", [1, 8])
def test_each_has_ended_and_is_committed_before_the_next_of_its_record_begins(
    listener, monkeypatch, records
):
    make_mapping(listener)
    first = record(listener, *[*range(records)] * (40 // records))
    seen = []

    def look(name):
        if name == "handled":
            assert not connection.in_atomic_block
            line = read_journal()[-1]
            before = Delivery.objects.filter(entry__record_id=line["record"], entry__lt=line["id"])
            seen.append({(row.state, len(row.all_attempts)) for row in before})

    monkeypatch.setattr(crash_points, "reach", look)

    assert run_deliveries(first, "tests.remember") == "40 succeeded"

    ended = ("succeeded", 1)
    assert seen == [*[set()] * records, *[{ended}] * (40 - records)]


def test_a_claim_that_is_lost_is_lost_alone(listener, monkeypatch):
    """Another worker took the claim over. The earlier deliveries have ended, and no later one
    begins."""
    make_mapping(listener)
    [first] = record(listener, *[0] * 6)
    running = Delivery.objects.filter(state="running")

    def give_to_another(name):
        if name == "handled" and len(read_journal()) == 4:
            running.update(attempts=2)

    monkeypatch.setattr(crash_points, "reach", give_to_another)

    assert run_delivery(first) == "3 succeeded, 1 claim lost"

    rows = Delivery.objects.order_by("id").values_list("state", "attempts")
    assert list(rows)[3:] == [("running", 2), *[("blocked", 0)] * 2]
    assert len(all_attempts()) == 3


def test_a_delivery_that_was_skipped_does_not_begin(listener, monkeypatch):
    make_mapping(listener)
    [first] = record(listener, *[0] * 5)
    entries, fourth = ids_of_entries(), ids_of()[3]

    def skip_it(name):
        if name == "handled" and len(read_journal()) == 3:
            Delivery.objects.filter(pk=fourth).update(state="skipped")

    monkeypatch.setattr(crash_points, "reach", skip_it)

    assert run_delivery(first) == "4 succeeded"

    assert states() == ["succeeded", "succeeded", "succeeded", "skipped", "succeeded"]
    assert [entry for _, entry in noted_effects()] == [*entries[:3], entries[4]]


def test_what_fails_keeps_those_behind_it_from_beginning_until_it_ended(listener):
    make_mapping(listener, handler="tests.fail_once_when_told", max_attempts=2)
    [first] = record(listener, 0, 0, (0, {"Fail": True}), 0, 0)

    assert run_delivery(first) == "2 succeeded, 1 failed"
    assert states() == ["succeeded", "succeeded", "retrying", "blocked", "blocked"]

    make_due()
    assert run_delivery(ids_of(state="retrying")[0]) == "succeeded"
    assert states() == ["succeeded", "succeeded", "succeeded", "ready", "blocked"]
    assert run_delivery(ids_of(state="ready")[0]) == "2 succeeded"
    assert_in_order(noted_effects())


def test_what_follows_retries_is_published_together_by_the_relay(listener):
    """Published one by one, each would run alone to the end of its chain."""
    make_mapping(listener, handler="tests.fail_once_when_told", max_attempts=2)
    first = record(listener, *[(n, {"Fail": True}) for n in range(20)], *range(20))
    run_deliveries(first, "tests.fail_once_when_told")
    make_due()

    assert [run_delivery(pk) for pk in first] == ["succeeded"] * 20
    following = ids_of(state="ready")
    assert messages() == []

    relay.publish_due(timezone.now() + 2 * READY_AGE)
    assert messages() == [following]
    assert ids_of(state="queued") == following


@pytest.mark.parametrize(("on_dead", "left"), [("continue", "succeeded"), ("halt", "blocked")])
def test_behind_one_that_is_dead_they_go_on_or_are_held_back(listener, on_dead, left):
    make_mapping(listener, handler="tests.fail_once_when_told", max_attempts=1, on_dead=on_dead)
    [first] = record(listener, 0, (0, {"Fail": True}), 0, 0)

    run_delivery(first)

    assert states() == ["succeeded", "dead", left, left]


def test_atomic_ones_commit_one_by_one(listener, monkeypatch):
    make_mapping(listener, handler="tests.write_group")
    [first] = record(listener, *[0] * 4)
    seen = []
    monkeypatch.setattr(
        crash_points,
        "reach",
        lambda name: (
            name == "claimed" and seen.append((written_groups().count(), len(succeeded())))
        ),
    )

    run_delivery(first)

    assert seen == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert len(succeeded()) == 4


def succeeded():
    return ids_of(state="succeeded")


def test_when_its_time_is_over_what_is_next_waits_behind_others(listener, monkeypatch):
    monkeypatch.setattr(message_run, "ALONE_SECONDS", 0)
    make_mapping(listener)
    [first] = record(listener, *[0] * 3)

    assert run_delivery(first) == "succeeded"

    assert states() == ["succeeded", "queued", "blocked"]
    assert messages() == [ids_of(state="queued")]


@pytest.mark.parametrize(
    ("handler", "queue", "attempts"),
    [("tests.skip", "", None), ("tests.remember", "crm", None), ("tests.remember", "", 1)],
)
def test_what_is_of_another_kind_has_a_message_of_its_own(listener, handler, queue, attempts):
    """This holds for another handler, another queue, and a mapping with one attempt, which runs
    alone."""
    make_mapping(listener)
    make_mapping(listener, "update", handler, queue=queue, max_attempts=attempts)
    first = record(listener, 0, 1, (0, "UPDATE"))
    [next_one] = ids_of(state="blocked")

    assert run_deliveries(first, "tests.remember") == "2 succeeded"

    assert messages(queue or "cdc") == [[next_one]]


def test_handlers_of_several_mappings_share_a_chain(listener):
    for on in ("create", "update", "delete"):
        make_mapping(listener, on)
    first = record(listener, 0, 1, (0, "UPDATE"), (1, "UPDATE"), (0, "DELETE"))

    assert run_deliveries(first, "tests.remember") == "5 succeeded"

    assert_in_order(noted_effects())


def test_what_a_pause_overtakes_waits(listener, monkeypatch):
    make_mapping(listener)
    [first] = record(listener, *[0] * 3)
    mapping = HandlerMapping.objects.get()
    left = [lambda: pause.pause([mapping], ANN, "", timezone.now())]
    monkeypatch.setattr(
        crash_points, "reach", lambda name: name == "handled" and left and left.pop()()
    )

    assert run_delivery(first) == "succeeded"

    rows = Delivery.objects.order_by("id").values_list("state", "paused", "attempts")
    assert list(rows)[1:] == [("ready", True, 0), ("blocked", False, 0)]


def test_a_batch_has_one_change_of_each_record_and_the_next_follows(listener):
    make_mapping(listener, handler="tests.batch")
    first = record(listener, *[*range(3)] * 4)

    assert run_deliveries(first, "tests.batch") == "12 succeeded"

    batches = [line["batch"] for line in read_journal()][::3]
    assert batches == [ids_of_entries()[n : n + 3] for n in range(0, 12, 3)]


@pytest.fixture
def known_statistics():
    """Make PostgreSQL plan by the statistics that the test asks for. Autovacuum would renew them at
    some moment, from whatever the table then holds."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE handlers_delivery CASCADE")
        cursor.execute("ALTER TABLE handlers_delivery SET (autovacuum_enabled = off)")
        yield cursor
        cursor.execute("ALTER TABLE handlers_delivery RESET (autovacuum_enabled)")


@pytest.mark.skipif(connection.vendor == "sqlite", reason="only PostgreSQL counts what it read")
@pytest.mark.parametrize("records", [1, 20])
def test_however_long_chains_are_what_waits_in_them_is_not_read_for_each(
    listener, monkeypatch, records, known_statistics
):
    make_mapping(listener)
    # What has ended leaves its pages in the indexes. PostgreSQL then overrates what it costs to
    # look up one of the few open deliveries in their own index.
    record(listener, *range(1000, 3000))
    Delivery.objects.update(state="succeeded")
    known_statistics.execute("VACUUM handlers_delivery")
    waiting = record(listener, *range(1000, 1003))
    first = {*record(listener, *[*range(records)] * (600 // records))} - {*waiting}
    known_statistics.execute("VACUUM ANALYZE handlers_delivery")
    before, counts = read_of_blocked(), []

    def count(name):
        if name == "handled":
            counts.append(read_of_blocked())

    monkeypatch.setattr(crash_points, "reach", count)

    assert run_deliveries([*first], "tests.remember") == "600 succeeded"

    # Of the first 60 runs, since an index also returns what has ended, as long as any session of
    # the server has an older transaction. Reading all that waits would be twice the limit.
    assert 60 < counts[60] - before < 60 * 600 // records // 2


def read_of_blocked():
    """Return how many rows the indexes with the blocked deliveries have returned so far."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(
            "SELECT sum(idx_tup_read)::int FROM pg_stat_user_indexes"
            " WHERE indexrelname IN ('delivery_next', 'delivery_chain')"
        )
        return cursor.fetchone()[0]


def plans_of_searches(queries):
    """Return SQLite's plan of each query that looks into given chains."""
    searches = [query["sql"] for query in queries if "c.value" in query["sql"]]
    with connection.cursor() as cursor:
        return [str(cursor.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()) for sql in searches]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="of SQLite")
@pytest.mark.parametrize("others", [[], ["another"]], ids=["one", "several"])
def test_sqlite_looks_for_the_next_of_a_chain_in_its_indexes(listener, others):
    make_mapping(listener)
    [first] = record(listener, 0, 0)
    with CaptureQueriesContext(connection) as queries:
        Delivery.objects.promote([Delivery.objects.get(pk=first).chain, *others])

    [waiting, following] = plans_of_searches(queries)
    assert "USING INDEX delivery_chain (chain=?)" in waiting
    assert "USING COVERING INDEX delivery_next (chain=?)" in following
    assert "delivery_one_open_in_a_chain (chain=?)" in following
    assert "delivery_halting (chain=?)" in following


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL scans a small table")
@pytest.mark.parametrize("others", [[], ["another"]], ids=["one", "several"])
def test_the_holders_of_a_chain_are_found_without_its_ended_deliveries(listener, others):
    """An index of those that have not ended is enough, and stays small."""
    make_mapping(listener)
    record(listener, 0, 0)
    chain = Delivery.objects.values_list("chain", flat=True)[0]

    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        assert Delivery.objects.lock_occupied_chains([chain, *others]) == {chain}

    [plan] = plans_of_searches(queries)
    assert "USING INDEX delivery_chain (chain=?)" in plan
    [index] = [index for index in Delivery._meta.indexes if index.name == "delivery_chain"]
    assert index.condition == IN_CHAIN
